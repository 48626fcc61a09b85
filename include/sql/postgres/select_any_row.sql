select 1 as found
from {table}
limit 1 -- noqa: AM09
