-- No row: no such schema. Else one with each of the names that is taken in it, or one without a name.
select c.relname as name
from pg_namespace as n
left join pg_class as c on n.oid = c.relnamespace and c.relname = any(%(relations)s)
where n.nspname = %(schema)s
