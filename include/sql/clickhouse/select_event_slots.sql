-- The named events by day and five minutes. Each day counts what landed until its own cutoff.
SELECT
    event_name AS name,
    day_start,
    toInt64(toUnixTimestamp(slot) - day_start) AS second,
    toInt64(sum(events)) AS count
FROM (
    SELECT
        event_name,
        slot,
        toUnixTimestamp(slot) + known_after_s AS known_at,
        roundDown(toUnixTimestamp(slot), {edges:Array(UInt32)}) AS day_start,
        events
    FROM {rollup}
    WHERE
        event_name IN {names:Array(String)}
        AND slot >= toDateTime({since:UInt32}, 'UTC')
        AND slot < toDateTime({until:UInt32}, 'UTC')
)
WHERE known_at <= transform(day_start, {starts:Array(UInt32)}, {cutoffs:Array(UInt32)}, 0)
GROUP BY name, day_start, second
ORDER BY name, day_start, second
