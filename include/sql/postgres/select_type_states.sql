-- What the text of values depends on, of every type that a column of these tables uses, directly or inside an array, a
-- domain, a range or a composite type: the labels of enums, and the attributes of composite types. A label's xmin shows
-- that it was renamed, whatever it is called now.
with recursive used as (
    select a.atttypid as oid
    from pg_attribute as a
    where a.attrelid = any(%(tables)s) and a.attnum > 0 and not a.attisdropped
    union
    select inside.oid
    from used
    inner join pg_type as t on used.oid = t.oid
    inner join lateral (
        select unnest(array[t.typelem, t.typbasetype]) as oid
        union all
        select a.atttypid from pg_attribute as a
        where a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped
        union all
        select r.rngsubtype from pg_range as r
        where t.oid in (r.rngtypid, r.rngmultitypid)
    ) as inside on true
)

select
    format_type(e.enumtypid, null) as name,
    concat_ws(' ', e.oid, e.xmin) as state
from pg_enum as e
where e.enumtypid in (select used.oid from used)
union all
select
    format_type(t.oid, null) as name,
    string_agg(concat_ws(' ', a.attnum, a.atttypid, a.attisdropped), ', ' order by a.attnum) as state
from pg_type as t
inner join pg_attribute as a on t.typrelid = a.attrelid
where t.oid in (select used.oid from used) and t.typtype = 'c' and a.attnum > 0
group by t.oid
