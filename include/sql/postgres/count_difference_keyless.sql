-- Without a key a changed row is one that is only there and one that is only here.
select
    coalesce(sum(greatest(coalesce(restored.copies, 0) - coalesce(live.copies, 0), 0)), 0)::bigint as only_restored,
    coalesce(sum(greatest(coalesce(live.copies, 0) - coalesce(restored.copies, 0), 0)), 0)::bigint as only_live,
    null::bigint as changed,
    coalesce(sum(least(restored.copies, live.copies)), 0)::bigint as equal
from (select row({columns})::text as image, count(*) as copies from {table} group by 1) as restored
full join (
    select row({columns})::text as image, count(*) as copies from {live} where {range} group by 1
) as live using (image)
