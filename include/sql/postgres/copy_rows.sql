copy {table} ({names})
from stdin (format {format})
