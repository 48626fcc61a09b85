-- Quantiles of the key over a block sample; repeatable, so that a retry on unchanged data cuts alike.
select boundary::text as boundary
from (
    select distinct unnest(percentile_disc({fractions}::float8 []) within group (order by {key})) as boundary
    from {table} tablesample system ({percent}) repeatable (1)
) as quantiles
where boundary is not null
order by quantiles.boundary
