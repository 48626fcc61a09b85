-- Numbers of the key ranges [lower, upper) that contain one of the values.
select ranges.number
from unnest({lowers}, {uppers}) with ordinality as ranges (lower, upper, number)
where exists (
    select 1
    from unnest({values}) as given (value)
    where
        (ranges.lower is null or given.value::{type} >= ranges.lower::{type})
        and (ranges.upper is null or given.value::{type} < ranges.upper::{type})
)
