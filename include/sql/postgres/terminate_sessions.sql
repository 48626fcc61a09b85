-- Ends every other session of this run, so that its locks are released at once.
select pg_terminate_backend(a.pid)
from pg_stat_activity as a
where a.application_name = %(run)s and a.usename = current_user and a.pid <> pg_backend_pid()
