-- Labels of every enum that a column of these tables uses, directly or as an array's element or a domain's base.
with recursive used as (
    select a.atttypid as oid
    from pg_attribute as a
    where a.attrelid = any(%(tables)s) and a.attnum > 0 and not a.attisdropped
    union
    select unnest(array[t.typelem, t.typbasetype])
    from used
    inner join pg_type as t on used.oid = t.oid
)

select
    format_type(e.enumtypid, null) as name,
    array_agg(e.enumlabel::text order by e.enumsortorder) as labels
from pg_enum as e
where e.enumtypid in (select used.oid from used)
group by e.enumtypid
order by name
