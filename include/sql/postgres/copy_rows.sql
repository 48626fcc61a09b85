copy {relation} {columns}
from stdin (format csv)
