insert into {table} ({names})
select {names}
from {table}
limit 1 -- noqa: AM09
