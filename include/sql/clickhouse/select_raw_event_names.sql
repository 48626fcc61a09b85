-- Names of recent events with their number and the number of days on which they were seen. Reads raw events.
SELECT
    toString({event}) AS name,
    toInt64(count()) AS count,
    toInt64(uniqExact(toDate({event_time}, {zone:String}))) AS days
FROM {table}
WHERE {event_time} >= toDateTime({since:UInt32}, 'UTC') AND {event_time} < toDateTime({until:UInt32}, 'UTC')
GROUP BY name
ORDER BY count DESC, name
LIMIT 1000
