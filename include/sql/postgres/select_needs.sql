-- What a server needs to hold this database's schema: extensions, and the collations that come with the server.
select
    'extension' as kind,
    e.extname as name
from pg_extension as e
union
select
    'collation' as kind,
    coll.collname as name
from pg_collation as coll
inner join pg_namespace as n on coll.collnamespace = n.oid
inner join pg_attribute as a on coll.oid = a.attcollation
inner join pg_class as c on a.attrelid = c.oid
where
    n.nspname = 'pg_catalog' and c.relkind in ('r', 'p', 'm', 'i')
    and c.relnamespace not in ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
union
-- A collation that the application created can be created again if the server has its provider.
select
    'collation provider' as kind,
    case coll.collprovider when 'i' then 'icu' when 'b' then 'builtin' else 'libc' end as name
from pg_collation as coll
inner join pg_namespace as n on coll.collnamespace = n.oid
where n.nspname <> 'pg_catalog'
order by kind, name
