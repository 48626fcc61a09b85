alter table {table} no force row level security
