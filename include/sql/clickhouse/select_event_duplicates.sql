-- Rows beyond the first of each event id, by day of the event's time. They show that a batch was loaded twice.
SELECT
    roundDown(toUnixTimestamp({event_time}), {edges:Array(UInt32)}) AS day_start,
    toInt64(count() - uniqExact({event_id})) AS duplicates
FROM {table}
WHERE
    {event_time} >= toDateTime({since:UInt32}, 'UTC')
    AND {event_time} < toDateTime({until:UInt32}, 'UTC')
GROUP BY day_start
ORDER BY day_start
