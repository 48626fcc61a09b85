-- One row for each of the named tables that exists. Size covers partitions, which the parent itself does not hold. It
-- leaves out the maps that vacuum makes, because the table is cut by its size, and a retry must cut it equally.
select
    requested.schema,
    requested.name,
    c.oid::bigint as oid,
    c.relkind::text as kind,
    c.relpersistence::text as persistence,
    c.relispopulated as filled,
    has_table_privilege(c.oid, 'select') as readable,
    (
        select e.extname
        from pg_depend as d
        inner join pg_extension as e on d.refobjid = e.oid and d.refclassid = 'pg_extension'::regclass
        where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e'
    ) as extension,
    stored.bytes,
    stored.out_of_line
from unnest(%(schemas)s::text[], %(relations)s::text[]) as requested (schema, name)
inner join pg_namespace as n on requested.schema = n.nspname
inner join pg_class as c on n.oid = c.relnamespace and requested.name = c.relname
cross join lateral (
    select
        sum(pg_relation_size(file.oid) + coalesce(pg_relation_size(nullif(file.reltoastrelid, 0)), 0))::bigint as bytes,
        sum(pg_relation_size(nullif(file.reltoastrelid, 0))) > 0 as out_of_line
    from pg_class as file
    where file.oid = c.oid or file.oid in (select tree.relid from pg_partition_tree(c.oid) as tree)
) as stored
