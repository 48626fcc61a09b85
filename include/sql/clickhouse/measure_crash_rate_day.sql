-- Share of today's sessions with a crash; the day is in the settings' time zone. The counts are accurate to about one
-- percent: exact sets of a whole day's sessions would need too much memory every minute.
SELECT
    if(count() = 0, NULL, uniqCombined64If(session_id, event_name = 'crash') / uniqCombined64(session_id)) AS value,
    uniqCombined64(session_id) AS base
FROM {database:Identifier}.{table:Identifier}
WHERE
    event_time >= toStartOfDay(now({timezone:String})) - INTERVAL 1 DAY
    AND ingest_time >= toStartOfDay(now({timezone:String}))
    AND ingest_time <= now()
