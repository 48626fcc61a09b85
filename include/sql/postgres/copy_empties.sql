-- For a table without columns to fill: each row is an empty line.
copy {table}
from stdin (format csv)
