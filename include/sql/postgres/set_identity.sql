select setval(pg_get_serial_sequence({relation}, {column}), greatest(max({key}), {value}), true)
from {table}
having greatest(max({key}), {value}) > 0
