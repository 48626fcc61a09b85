-- Tables with a generated column that calls a function of the application. Whatever it promises, it can read other
-- tables.
select
    n.nspname as schema,
    c.relname as name
from pg_class as c
inner join pg_namespace as n on c.relnamespace = n.oid
where exists (
    select 1
    from pg_attribute as a
    inner join pg_attrdef as d on a.attrelid = d.adrelid and a.attnum = d.adnum
    inner join pg_depend as called
        on d.oid = called.objid and called.classid = 'pg_attrdef'::regclass and called.refclassid = 'pg_proc'::regclass
    where a.attrelid = c.oid and a.attgenerated <> ''
)
