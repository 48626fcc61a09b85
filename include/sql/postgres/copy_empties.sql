-- For a table that has no columns to fill: each row is an empty line.
copy {table}
from stdin (format csv)
