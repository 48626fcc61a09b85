-- What a database holds beside what every new database has; members of extensions do not count.
select
    count(*) as things,
    min(own.name) as example
from (
    select c.oid, 'pg_class'::regclass as catalog, n.nspname || '.' || c.relname as name, n.nspname as namespace
    from pg_class as c
    inner join pg_namespace as n on c.relnamespace = n.oid
    where c.relkind in ('r', 'p', 'v', 'm', 'S', 'f')
    union all
    select p.oid, 'pg_proc'::regclass, n.nspname || '.' || p.proname, n.nspname
    from pg_proc as p
    inner join pg_namespace as n on p.pronamespace = n.oid
    union all
    select t.oid, 'pg_type'::regclass, n.nspname || '.' || t.typname, n.nspname
    from pg_type as t
    inner join pg_namespace as n on t.typnamespace = n.oid
    where t.typtype in ('e', 'd')
    union all
    select n.oid, 'pg_namespace'::regclass, 'schema ' || n.nspname, n.nspname
    from pg_namespace as n
    where n.nspname <> 'public'
) as own
where
    own.namespace not like 'pg\_%' and own.namespace <> 'information_schema'
    and not exists (
        select 1 from pg_depend as d where d.classid = own.catalog and d.objid = own.oid and d.deptype = 'e'
    )
