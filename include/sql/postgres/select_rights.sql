-- Whether this session's role may read each of the named tables whole, for those that exist.
select
    requested.schema || '.' || requested.name as name,
    has_schema_privilege(n.oid, 'usage') and has_table_privilege(c.oid, 'select') as readable,
    row_security_active(c.oid) as row_security,
    pg_has_role(c.relowner, 'usage') as owned,
    has_schema_privilege(n.oid, 'create') as schema_writable,
    quote_ident(requested.schema) as quoted_schema
from unnest(%(schemas)s::text[], %(relations)s::text[]) as requested (schema, name)
inner join pg_namespace as n on requested.schema = n.nspname
inner join pg_class as c on n.oid = c.relnamespace and requested.name = c.relname
