-- Sessions that have waited longest for a lock on a table, because one of this run's sessions has or awaits a lock.
-- Sessions of the run itself do not count: they have a lock timeout. A pooler may add to the name of a session.
with own as materialized (
    select a.pid
    from pg_stat_activity as a
    where starts_with(a.application_name, %(run)s) and a.usename = session_user
),

waiting as materialized (
    select
        l.pid,
        l.relation,
        extract(epoch from clock_timestamp() - l.waitstart) as seconds
    from pg_locks as l
    where
        not l.granted and l.locktype = 'relation'
        and l.pid not in (select own.pid from own)
)

select
    waiting.pid,
    a.usename as role,
    waiting.relation::regclass::text as relation,
    waiting.seconds::float8 as seconds
from waiting
inner join pg_stat_activity as a on waiting.pid = a.pid
where
    waiting.seconds >= %(seconds)s
    and pg_blocking_pids(waiting.pid) && (select array_agg(own.pid) from own)
order by waiting.seconds desc
limit 1
