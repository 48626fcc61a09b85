-- Held until the session ends, so that what a killed restore left can be told from a restore that is running.
select pg_try_advisory_lock(hashtextextended('mindguard restore into ' || {schema}, 0)) as locked
