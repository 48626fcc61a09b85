-- Share of today's sessions with a crash; the day is one of the settings' time zone.
SELECT
    if(count() = 0, NULL, uniqExactIf(session_id, event_name = 'crash') / uniqExact(session_id)) AS value,
    uniqExact(session_id) AS base
FROM mindguard.events
WHERE
    event_time >= toStartOfDay(now({timezone:String})) - INTERVAL 1 DAY
    AND ingest_time >= toStartOfDay(now({timezone:String}))
    AND ingest_time <= now()
