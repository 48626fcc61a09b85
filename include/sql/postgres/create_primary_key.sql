alter table {table} add primary key ({columns})
