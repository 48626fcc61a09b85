alter table {table} rename to {kept}
