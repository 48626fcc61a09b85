-- Quantiles of the key over a block sample; repeatable, so that a retry on unchanged data cuts alike.
select quantiles.cut::text as boundary
from (
    select distinct unnest(percentile_disc({fractions}::float8[]) within group (order by {key})) as cut
    from {table} tablesample system ({percent}) repeatable (1)
) as quantiles
where quantiles.cut is not null
order by quantiles.cut
