-- Tables whose row-level security binds their owner too.
select
    n.nspname as schema,
    c.relname as name
from pg_class as c
inner join pg_namespace as n on c.relnamespace = n.oid
where c.relforcerowsecurity
