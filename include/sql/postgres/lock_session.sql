-- The lock lasts until the session ends, is reset, or releases it.
select
    pg_advisory_lock(%(first)s::int, %(second)s::int) as locked,
    pg_backend_pid() as pid
