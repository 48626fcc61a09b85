-- Age of the event that landed last. A landing time in the future means a wrong clock and must not hide a stall.
-- base: average number of sessions that landed in the same five minutes of the seven days before. In a quiet night it
-- is low, and the absence of landings is then no stall. Events come in bursts, one for each session: their number would
-- say more than it is worth.
-- Bounds on event_time keep the scan short. They miss phones with a wrong clock, but the others suffice. While events
-- land, the last day is read, and of each day before a good hour: what lands later than an hour after it happened does
-- not count in the base. In a stall all eight days are read, since its beginning may lie in any of them.
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
    WHERE
        ingest_time > now() - INTERVAL 8 DAY
        AND (
            event_time > (
                SELECT if(count() > 0, now() - INTERVAL 1 DAY, now() - INTERVAL 8 DAY)
                FROM {database:Identifier}.{table:Identifier}
                WHERE
                    event_time > now() - INTERVAL 10 MINUTE
                    AND ingest_time BETWEEN now() - INTERVAL 5 MINUTE AND now() + INTERVAL 1 MINUTE
            )
            OR event_time BETWEEN now() - INTERVAL 1505 MINUTE AND now() - INTERVAL 1435 MINUTE
            OR event_time BETWEEN now() - INTERVAL 2945 MINUTE AND now() - INTERVAL 2875 MINUTE
            OR event_time BETWEEN now() - INTERVAL 4385 MINUTE AND now() - INTERVAL 4315 MINUTE
            OR event_time BETWEEN now() - INTERVAL 5825 MINUTE AND now() - INTERVAL 5755 MINUTE
            OR event_time BETWEEN now() - INTERVAL 7265 MINUTE AND now() - INTERVAL 7195 MINUTE
            OR event_time BETWEEN now() - INTERVAL 8705 MINUTE AND now() - INTERVAL 8635 MINUTE
            OR event_time BETWEEN now() - INTERVAL 10145 MINUTE AND now() - INTERVAL 10075 MINUTE
        )
)
