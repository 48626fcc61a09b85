-- All sequences of the database: also a function, a trigger or the application itself may feed a column from one.
-- One that this role may not read is left out, unless it is in a schema of these tables, or a column owns or names it:
-- then reading it fails, which is better than a restore that counts from 1.
select
    s.oid::regclass::text as name,
    n.nspname as schema,
    s.relname as relation
from pg_class as s
inner join pg_namespace as n on s.relnamespace = n.oid
where
    s.relkind = 'S' and s.relpersistence <> 't'
    and not exists (
        select 1 from pg_depend as member
        where member.classid = 'pg_class'::regclass and member.objid = s.oid and member.deptype = 'e'
    )
    and (
        has_sequence_privilege(s.oid, 'select')
        or s.relnamespace in (
            select c.relnamespace from pg_class as c
            where c.oid = any(%(tables)s)
        )
        or exists (
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
