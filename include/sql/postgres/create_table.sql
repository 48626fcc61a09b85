create table {table} ({definitions})
