-- Age of the row that an ETL job loaded last, and the landing time of the newest upstream event.
SELECT
    maxOrNullIf(loaded_at, loaded_at <= now64(3, 'UTC') + INTERVAL 1 MINUTE) AS newest,
    now64(3, 'UTC') AS source_now,
    (
        SELECT maxOrNullIf(ingest_time, ingest_time <= now64(3, 'UTC') + INTERVAL 1 MINUTE)
        FROM {upstream_database:Identifier}.{upstream_table:Identifier}
        WHERE event_time > now() - INTERVAL 2 DAY
    ) AS upstream_newest
FROM {database:Identifier}.{table:Identifier}
