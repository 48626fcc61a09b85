-- Age of the event that landed last. A landing time in the future means a wrong clock and must not hide a stall.
-- base: average number of sessions that landed in the same five minutes of the seven days before. In a quiet night it
-- is low, and the absence of landings is then no stall. Events come in bursts, one for each session: their number would
-- say more than it is worth.
-- Bounds on event_time keep the scan short. They miss phones with a wrong clock, but the others suffice.
SELECT
    maxOrNullIf(ingest_time, ingest_time <= now64(3, 'UTC') + INTERVAL 1 MINUTE) AS newest,
    now64(3, 'UTC') AS source_now,
    uniqExactIf(session_id, age_s >= 86400 AND age_s % 86400 < 300) / 7 AS base,
    if(
        countIf(age_s BETWEEN 0 AND 300) = 0,
        '',
        concat(
            'lag p50 ', toString(round(quantileIf(0.5)(lag_s, age_s BETWEEN 0 AND 300), 1)),
            ' s, p95 ', toString(round(quantileIf(0.95)(lag_s, age_s BETWEEN 0 AND 300), 1)), ' s'
        )
    ) AS note
FROM (
    SELECT
        ingest_time,
        session_id,
        dateDiff('second', ingest_time, now64(3, 'UTC')) AS age_s,
        greatest(0, dateDiff('millisecond', event_time, ingest_time) / 1000) AS lag_s
    FROM {database:Identifier}.{table:Identifier}
    WHERE event_time > now() - INTERVAL 8 DAY AND ingest_time > now() - INTERVAL 8 DAY
)
