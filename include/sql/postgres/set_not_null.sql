alter table {table} alter column {column} set not null
