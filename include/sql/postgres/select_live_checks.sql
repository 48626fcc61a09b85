-- The checks and NOT NULL constraints of a table, as they would be added to another one. Before version 18 of the
-- server, NOT NULL has no entry in pg_constraint.
select
    found.name,
    found.definition,
    found.validated,
    found.comment,
    found.expression,
    found.not_null
from (
    select
        k.conname as name,
        pg_get_constraintdef(k.oid) as definition,
        k.convalidated as validated,
        obj_description(k.oid, 'pg_constraint') as comment,
        case when k.contype = 'c' then pg_get_expr(k.conbin, k.conrelid) end as expression,
        a.attname as not_null
    from pg_constraint as k
    left join pg_attribute as a on k.contype = 'n' and k.conrelid = a.attrelid and k.conkey[1] = a.attnum
    where k.conrelid = {oid} and k.contype in ('c', 'n')
    union all
    select
        null as name,
        null as definition,
        true as validated,
        null as comment,
        null as expression,
        a.attname as not_null
    from pg_attribute as a
    where
        a.attrelid = {oid} and a.attnum > 0 and a.attnotnull and not a.attisdropped
        and not exists (
            select 1 from pg_constraint as k
            where k.conrelid = a.attrelid and k.contype = 'n' and k.conkey[1] = a.attnum
        )
) as found
order by found.not_null is null, found.name
