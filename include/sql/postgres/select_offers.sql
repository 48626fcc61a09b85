-- Which of the things that `select_needs` lists this server has.
select
    'extension' as kind,
    available.name
from pg_available_extensions as available
union
select
    'collation' as kind,
    coll.collname as name
from pg_collation as coll
where coll.collnamespace = 'pg_catalog'::regnamespace
union
select
    'collation provider' as kind,
    case coll.collprovider when 'i' then 'icu' when 'b' then 'builtin' else 'libc' end as name
from pg_collation as coll
order by kind, name
