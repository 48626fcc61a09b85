-- The sequence that gives a column its numbers: that of its identity, or else the one in its default. A column can own
-- a third one, which fed it before it became an identity.
-- noqa: disable=RF02
select format('%I.%I', n.nspname, s.relname) as sequence
from pg_attribute as a
inner join pg_depend as d on d.refclassid = 'pg_class'::regclass
inner join pg_class as s on s.oid = case when d.classid = 'pg_class'::regclass then d.objid else d.refobjid end
inner join pg_namespace as n on s.relnamespace = n.oid
where
    a.attrelid = {relation}::regclass and a.attname = {column} and s.relkind = 'S'
    and (
        (d.classid = 'pg_class'::regclass and d.deptype = 'i' and d.refobjid = a.attrelid and d.refobjsubid = a.attnum)
        or (
            d.classid = 'pg_attrdef'::regclass
            and d.objid = (
                select f.oid from pg_attrdef as f
                where f.adrelid = a.attrelid and f.adnum = a.attnum
            )
        )
    )
order by d.deptype <> 'i'
limit 1
