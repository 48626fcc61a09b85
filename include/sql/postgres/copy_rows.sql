copy {table} ({names})
from stdin (format csv)
