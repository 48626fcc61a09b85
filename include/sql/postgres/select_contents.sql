-- What a database holds in addition to what every new database has; members of extensions do not count.
select
    count(*) as things,
    min(own.name) as example
from (
    select
        'pg_class'::regclass as catalog,
        c.oid,
        n.nspname as namespace,
        n.nspname || '.' || c.relname as name
    from pg_class as c
    inner join pg_namespace as n on c.relnamespace = n.oid
    where c.relkind in ('r', 'p', 'v', 'm', 'S', 'f')
    union all
    select
        'pg_proc'::regclass as catalog,
        p.oid,
        n.nspname as namespace,
        n.nspname || '.' || p.proname as name
    from pg_proc as p
    inner join pg_namespace as n on p.pronamespace = n.oid
    union all
    select
        'pg_type'::regclass as catalog,
        t.oid,
        n.nspname as namespace,
        n.nspname || '.' || t.typname as name
    from pg_type as t
    inner join pg_namespace as n on t.typnamespace = n.oid
    where t.typtype in ('e', 'd')
    union all
    select
        'pg_namespace'::regclass as catalog,
        n.oid,
        n.nspname as namespace,
        'schema ' || n.nspname as name
    from pg_namespace as n
    where n.nspname <> 'public'
) as own
where
    own.namespace not like 'pg\_%' and own.namespace <> 'information_schema'
    and not exists (
        select 1 from pg_depend as d
        where d.classid = own.catalog and d.objid = own.oid and d.deptype = 'e'
    )
