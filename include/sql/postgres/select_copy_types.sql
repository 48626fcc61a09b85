-- The columns of a table with the names of their types, as far as their binary form is known: any enum's, or a built-in
-- type's; else null.
select
    a.attname as name,
    case
        when t.typtype = 'e' then 'enum'
        when t.typnamespace = 'pg_catalog'::regnamespace then t.typname::text
    end as type
from pg_attribute as a
inner join pg_type as t on a.atttypid = t.oid
where a.attrelid = {relation}::regclass and a.attnum > 0 and not a.attisdropped
