-- Counts the rows that have the number which the column's sequence gave last, or gives now.
select count(*) as count
from {table}
where {key} = (select {number}({sequence}))
