select count(*) as contradicting
from {table}
where {condition}
