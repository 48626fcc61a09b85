lock table {table} in access share mode
