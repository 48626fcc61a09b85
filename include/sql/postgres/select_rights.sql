-- Whether this session's role may read the whole table.
select
    has_schema_privilege(n.oid, 'usage') and has_table_privilege(c.oid, 'select') as readable,
    row_security_active(c.oid) as row_security,
    pg_has_role(c.relowner, 'usage') as owned
from pg_class as c
inner join pg_namespace as n on c.relnamespace = n.oid
where n.nspname = %(schema)s and c.relname = %(name)s
