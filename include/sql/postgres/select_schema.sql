-- No row if the schema does not exist. Otherwise one row for each of the names that is taken in it, or, if none is
-- taken, one row with null.
select c.relname as name
from pg_namespace as n
left join pg_class as c on n.oid = c.relnamespace and c.relname = any(%(relations)s)
where n.nspname = %(schema)s
