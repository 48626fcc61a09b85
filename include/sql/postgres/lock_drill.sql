-- Held until the session ends, so that what a killed drill left can be told from a drill that is running.
select pg_try_advisory_lock(hashtextextended('mindguard drill in ' || {database}, 0)) as locked
