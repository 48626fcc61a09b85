alter table {table} alter column {column} set default {default}
