-- The named tables, each with all that inherits from it: its partitions, or its inheritance children. A partition that
-- is being detached is no longer read through its parent.
with recursive tree as (
    select
        requested.oid as top,
        requested.oid as member
    from unnest(%(tables)s::oid[]) as requested (oid)
    union
    select
        tree.top,
        i.inhrelid as member
    from tree
    inner join pg_inherits as i on tree.member = i.inhparent and not i.inhdetachpending
)

select
    tree.top::bigint as top,
    c.oid::bigint as oid,
    c.relfilenode::bigint as filenode,
    c.relkind::text as kind,
    c.relpersistence::text as persistence,
    n.nspname || '.' || c.relname as name
from tree
inner join pg_class as c on tree.member = c.oid
inner join pg_namespace as n on c.relnamespace = n.oid
order by name
