-- Boundaries in the key's own order, each once. Those of an earlier snapshot may be in the order of another collation.
select sorted.cut::text as boundary
from (
    select distinct given.boundary::{type} {collation} as cut -- noqa: LT01
    from unnest({boundaries}::text[]) as given (boundary)
) as sorted
order by sorted.cut {collation} -- noqa: LT01
