-- Share of today's sessions with a crash; the day is one of the settings' time zone. Counted to within a percent or
-- so of themselves: exact sets of a whole day's sessions would be too much memory for every minute.
SELECT
    if(count() = 0, NULL, uniqCombined64If(session_id, event_name = 'crash') / uniqCombined64(session_id)) AS value,
    uniqCombined64(session_id) AS base
FROM {database:Identifier}.{table:Identifier}
WHERE
    event_time >= toStartOfDay(now({timezone:String})) - INTERVAL 1 DAY
    AND ingest_time >= toStartOfDay(now({timezone:String}))
    AND ingest_time <= now()
