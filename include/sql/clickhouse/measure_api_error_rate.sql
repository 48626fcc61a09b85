-- Share of failed requests of each endpoint over the last three whole minutes: server errors, and custom errors.
SELECT
    JSONExtractString(properties, 'path') AS dimension,
    countIf(JSONExtractUInt(properties, 'status') >= 500 OR JSONExtractBool(properties, 'custom_error')) / count() AS value,
    count() AS base
FROM {database:Identifier}.{table:Identifier}
WHERE
    event_name = 'api_request'
    AND event_time > now() - INTERVAL 1 DAY
    AND ingest_time >= toStartOfMinute(now()) - INTERVAL 3 MINUTE
    AND ingest_time < toStartOfMinute(now())
GROUP BY dimension
ORDER BY base DESC
LIMIT 100
