-- Mean response time of the risk signals that landed in the last hour.
SELECT
    avgOrNull(latency_s) AS value,
    count() AS base,
    if(count() = 0, '', concat('slowest ', toString(round(max(latency_s))), ' s')) AS note
FROM (
    SELECT JSONExtract(properties, 'response_latency_s', 'Nullable(Float64)') AS latency_s
    FROM {database:Identifier}.{table:Identifier}
    WHERE
        event_name = 'risk_signal_escalate'
        AND event_time > now() - INTERVAL 1 DAY
        AND ingest_time > now() - INTERVAL 1 HOUR
        AND ingest_time <= now()
)
WHERE latency_s >= 0
