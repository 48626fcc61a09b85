create table {table} (like {live})
