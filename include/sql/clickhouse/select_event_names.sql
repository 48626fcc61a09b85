-- Names of events with their number, the most frequent first. Read from the rollup, which has few rows for each name.
SELECT event_name AS name, toInt64(sum(events)) AS count
FROM {rollup}
WHERE slot >= toDateTime({since:UInt32}, 'UTC')
GROUP BY name
ORDER BY count DESC, name
LIMIT 10000
