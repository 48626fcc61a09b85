-- Quantiles of the key within a part that has grown too large.
select quantiles.cut::text as boundary
from (
    select distinct unnest(percentile_disc({fractions}::float8[]) within group (order by {key})) as cut
    from {table}
    where {range}
) as quantiles
where quantiles.cut is not null and ({above})
order by quantiles.cut
