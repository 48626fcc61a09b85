alter table {table} add primary key ({names})
