-- What a restore marked as its own and has not finished: the schema (null), tables by name.
select null as name
from pg_namespace as n
where n.nspname = %(schema)s and obj_description(n.oid, 'pg_namespace') like %(mark)s
union all
select c.relname as name
from pg_class as c
inner join pg_namespace as n on c.relnamespace = n.oid
where n.nspname = %(schema)s and c.relkind = 'r' and obj_description(c.oid, 'pg_class') like %(mark)s
order by name
