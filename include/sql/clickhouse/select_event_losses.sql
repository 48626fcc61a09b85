-- The named events by day and by each value of each dimension. Each day counts what landed until its own cutoff.
SELECT
    event_name AS name,
    pair.1 AS dimension,
    pair.2 AS value,
    day_start,
    toInt64(sum(events)) AS count
FROM (
    SELECT
        event_name,
        [{pairs}] AS pairs,
        toUnixTimestamp(slot) + known_after_s AS known_at,
        roundDown(toUnixTimestamp(slot), {edges:Array(UInt32)}) AS day_start,
        events
    FROM {rollup}
    WHERE
        event_name IN {names:Array(String)}
        AND slot >= toDateTime({since:UInt32}, 'UTC')
        AND slot < toDateTime({until:UInt32}, 'UTC')
)
ARRAY JOIN pairs AS pair
WHERE known_at <= transform(day_start, {starts:Array(UInt32)}, {cutoffs:Array(UInt32)}, 0)
GROUP BY name, dimension, value, day_start
ORDER BY name, dimension, value, day_start
