-- Those of the named relations that LOCK TABLE accepts from this role.
select
    n.nspname as schema,
    c.relname as name
from unnest(%(schemas)s::text[], %(relations)s::text[]) as requested (schema, name)
inner join pg_catalog.pg_namespace as n on requested.schema = n.nspname
inner join pg_catalog.pg_class as c on n.oid = c.relnamespace and requested.name = c.relname
where c.relkind in ('r', 'p') and pg_catalog.has_table_privilege(c.oid, 'select')
order by c.oid
