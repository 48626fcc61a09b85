-- Quantiles of the key in a sample of blocks. The sample is repeatable, so a retry on unchanged data cuts equally.
select quantiles.cut::text as boundary
from (
    select distinct unnest(percentile_disc({fractions}::float8[]) within group (order by {key})) as cut
    from {table} tablesample system ({percent}) repeatable (1)
) as quantiles
where quantiles.cut is not null
order by quantiles.cut
