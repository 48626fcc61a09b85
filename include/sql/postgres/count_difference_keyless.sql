-- Without a key, a changed row counts as one row that is only restored and one that is only live.
-- LEAST ignores nulls: without zeros, rows of one table alone would count as equal.
with restored as (
    select
        row({columns})::text as mindguard_image,
        count(*) as copies
    from {table}
    group by 1
),

live as (
    select
        row({columns})::text as mindguard_image,
        count(*) as copies
    from {live}
    where {range}
    group by 1
)

select
    null::bigint as changed,
    coalesce(sum(greatest(coalesce(restored.copies, 0) - coalesce(live.copies, 0), 0)), 0)::bigint as only_restored,
    coalesce(sum(greatest(coalesce(live.copies, 0) - coalesce(restored.copies, 0), 0)), 0)::bigint as only_live,
    coalesce(sum(least(coalesce(restored.copies, 0), coalesce(live.copies, 0))), 0)::bigint as equal
from restored
full join live on restored.mindguard_image = live.mindguard_image
