-- Those of the named tables that exist, with all partitions below them.
select
    n.nspname as schema,
    c.relname as name
from unnest(%(schemas)s::text[], %(relations)s::text[]) as requested (schema, name)
inner join pg_namespace as top_schema on requested.schema = top_schema.nspname
inner join pg_class as top on top_schema.oid = top.relnamespace and requested.name = top.relname
inner join lateral (
    select top.oid as relid
    union
    select tree.relid::oid
    from pg_partition_tree(top.oid) as tree
) as member on true
inner join pg_class as c on member.relid = c.oid
inner join pg_namespace as n on c.relnamespace = n.oid
