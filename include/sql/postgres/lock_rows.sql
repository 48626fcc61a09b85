lock table {table} in row exclusive mode
