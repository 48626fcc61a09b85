select count(*) as shared
from (
    select 1
    from {table}
    where {condition}
    group by {keys}
    having count(*) > 1
) as repeated
