INSERT INTO {table}
SELECT *
FROM {table}
WHERE event_time >= {since:DateTime('UTC')} AND event_time < {until:DateTime('UTC')}
