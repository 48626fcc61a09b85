alter table {table} force row level security
