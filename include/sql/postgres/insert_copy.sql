insert into {table} ({columns})
select {columns}
from {table}
limit 1
