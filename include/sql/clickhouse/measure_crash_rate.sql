-- Share of sessions with a crash in the best of the last five whole minutes: if it is above the threshold, all five are.
-- A minute is that of landing, which no phone's clock can change.
SELECT
    minOrNull(crashed / sessions) AS value,
    -- A minute without sessions has no row.
    if(count() < 5, 0, min(sessions)) AS base
FROM (
    SELECT
        toStartOfMinute(ingest_time) AS minute,
        uniqExact(session_id) AS sessions,
        uniqExactIf(session_id, event_name = 'crash') AS crashed
    FROM {database:Identifier}.{table:Identifier}
    WHERE
        event_time > now() - INTERVAL 1 DAY
        AND ingest_time >= toStartOfMinute(now()) - INTERVAL 5 MINUTE
        AND ingest_time < toStartOfMinute(now())
    GROUP BY minute
)
