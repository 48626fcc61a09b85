-- One row when the table exists, none otherwise. Size covers partitions, which the parent itself does not hold.
select
    c.oid::bigint as oid,
    c.relkind::text as kind,
    has_table_privilege(c.oid, 'select') as readable,
    (
        select coalesce(sum(pg_table_size(tree.relid)), pg_table_size(c.oid))
        from pg_partition_tree(c.oid) as tree
    )::bigint as bytes
from pg_class as c
inner join pg_namespace as n on c.relnamespace = n.oid
where n.nspname = %(schema)s and c.relname = %(name)s
