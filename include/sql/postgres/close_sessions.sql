-- A pooler keeps sessions that its clients have left. The database is one that nobody else uses.
select pg_terminate_backend(a.pid) as closed
from pg_stat_activity as a
where
    a.datname = {database}
    and a.usename = current_user
    and a.backend_type = 'client backend'
