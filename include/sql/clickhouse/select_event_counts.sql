-- Events by name and day. Each day counts events that landed until its own cutoff, and nothing later.
-- All names that are not requested are one row with an empty name, so that the sum over names is all traffic.
-- The day is computed in a subquery, once for each row; IN is a hash lookup, whereas has() would search a list.
SELECT
    if(event_name IN {names:Array(String)}, event_name, '') AS name,
    day_start,
    toInt64(sum(events)) AS count,
    toInt64(sum(misdated)) AS misdated_count
FROM (
    SELECT
        event_name,
        toUnixTimestamp(slot) + known_after_s AS known_at,
        roundDown(toUnixTimestamp(slot), {edges:Array(UInt32)}) AS day_start,
        events,
        misdated
    FROM {rollup}
    WHERE slot >= toDateTime({since:UInt32}, 'UTC') AND slot < toDateTime({until:UInt32}, 'UTC')
)
WHERE known_at <= transform(day_start, {starts:Array(UInt32)}, {cutoffs:Array(UInt32)}, 0)
GROUP BY name, day_start
ORDER BY name, day_start
