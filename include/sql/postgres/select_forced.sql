-- Tables whose row-level security applies to their owner too.
select
    n.nspname as schema,
    c.relname as name
from pg_class as c
inner join pg_namespace as n on c.relnamespace = n.oid
where c.relforcerowsecurity
