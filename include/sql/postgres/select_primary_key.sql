select
    i.indrelid::bigint as table_oid,
    a.attname as name
from pg_index as i
cross join lateral unnest(i.indkey) with ordinality as k (attnum, position)
inner join pg_attribute as a on i.indrelid = a.attrelid and k.attnum = a.attnum
where i.indrelid = any(%(tables)s) and i.indisprimary
order by i.indrelid, k.position
