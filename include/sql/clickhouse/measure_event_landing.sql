-- Age of the event that landed last. A landing in the future is a wrong clock and must not hide a stall.
-- base: landings in these five minutes on the seven days before, on average: nothing may land on a quiet night.
-- Bounds on event_time keep the scan short; a phone with a wrong clock is missed among others with a right one.
SELECT
    maxOrNullIf(ingest_time, ingest_time <= now64(3, 'UTC') + INTERVAL 1 MINUTE) AS newest,
    now64(3, 'UTC') AS source_now,
    countIf(age_s >= 86400 AND age_s % 86400 < 300) / 7 AS base,
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
        dateDiff('second', ingest_time, now64(3, 'UTC')) AS age_s,
        greatest(0, dateDiff('millisecond', event_time, ingest_time) / 1000) AS lag_s
    FROM {database:Identifier}.{table:Identifier}
    WHERE event_time > now() - INTERVAL 8 DAY AND ingest_time > now() - INTERVAL 8 DAY
)
