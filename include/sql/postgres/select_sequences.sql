-- Sequences that feed these tables' columns: those that a column owns, of identity columns, or named in a default.
select distinct
    s.oid::regclass::text as name,
    n.nspname as schema,
    s.relname as relation
from pg_class as s
inner join pg_namespace as n on s.relnamespace = n.oid
where
    s.relkind = 'S'
    and (
        exists (
            select 1 from pg_depend as owned
            where
                owned.classid = 'pg_class'::regclass and owned.objid = s.oid
                and owned.refclassid = 'pg_class'::regclass and owned.refobjid = any(%(tables)s)
        )
        or exists (
            select 1
            from pg_attrdef as d
            inner join pg_depend as used on d.oid = used.objid and used.classid = 'pg_attrdef'::regclass
            where
                d.adrelid = any(%(tables)s)
                and used.refclassid = 'pg_class'::regclass and used.refobjid = s.oid
        )
    )
order by name
