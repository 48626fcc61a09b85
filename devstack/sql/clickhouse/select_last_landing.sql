-- 0 if there is none.
SELECT toUnixTimestamp64Milli(max(ingest_time))
FROM mindguard.events
WHERE event_time >= toDateTime({since:UInt32}, 'UTC') AND ingest_time <= toDateTime({until:UInt32}, 'UTC')
