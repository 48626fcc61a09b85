-- The query that counts the rows which the newest foreign key should not have, as there is no row that they point at.
select
    format(
        'select count(*) from %s as t where %s and not exists (select from %s as r where %s)',
        k.conrelid::regclass, columns.present, k.confrelid::regclass, columns.equal
    ) as query
from pg_constraint as k
inner join lateral (
    select
        string_agg(format('t.%I is not null', own.attname), ' and ') as present,
        string_agg(format('r.%I = t.%I', other.attname, own.attname), ' and ') as equal
    from unnest(k.conkey, k.confkey) as pair (own, other)
    inner join pg_attribute as own on k.conrelid = own.attrelid and pair.own = own.attnum
    inner join pg_attribute as other on k.confrelid = other.attrelid and pair.other = other.attnum
) as columns on true
where k.contype = 'f' and k.conparentid = 0
order by k.oid desc
limit 1
