-- Sessions that have waited longest for a lock on a table, because one of this run's sessions has or awaits a lock, or
-- because whoever they wait for waits for this run in turn: CREATE INDEX CONCURRENTLY waits for older snapshots, an
-- ALTER TABLE waits for it, and readers for the ALTER. Sessions of the run itself do not count: they have a lock
-- timeout. A pooler may add to the name of a session.
with recursive own as materialized (
    select a.pid
    from pg_stat_activity as a
    where starts_with(a.application_name, %(run)s) and a.usename = session_user
),

queued as materialized (
    select
        l.pid,
        pg_blocking_pids(l.pid) as blockers
    from pg_locks as l
    where not l.granted
    group by l.pid
),

held_up as (
    select own.pid from own
    union
    select queued.pid
    from held_up
    inner join queued on held_up.pid = any(queued.blockers)
),

waiting as (
    select
        l.pid,
        l.relation,
        extract(epoch from clock_timestamp() - l.waitstart) as seconds
    from pg_locks as l
    where
        not l.granted and l.locktype = 'relation'
        and l.pid not in (select own.pid from own)
        and l.pid in (select held_up.pid from held_up)
)

select
    waiting.pid,
    a.usename as role,
    waiting.relation::regclass::text as relation,
    waiting.seconds::float8 as seconds
from waiting
inner join pg_stat_activity as a on waiting.pid = a.pid
where waiting.seconds >= %(seconds)s
order by waiting.seconds desc
limit 1
