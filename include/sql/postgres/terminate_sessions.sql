-- Ends every other session of this run, so that its locks are released at once.
select pg_terminate_backend(a.pid)
from pg_stat_activity as a
where
    starts_with(a.application_name, %(run)s) and a.usename = session_user
    and a.pid <> pg_backend_pid()
