-- Events of the named ones by every value of every dimension, of the asked days, each as it looked at its own cutoff.
SELECT
    event_name AS name,
    pair.1 AS dimension,
    pair.2 AS value,
    roundDown(toUnixTimestamp(slot), {edges:Array(UInt32)}) AS day_start,
    toInt64(sum(events)) AS count
FROM {rollup}
ARRAY JOIN [{pairs}] AS pair
WHERE
    event_name IN {names:Array(String)}
    AND slot >= toDateTime({since:UInt32}, 'UTC')
    AND slot < toDateTime({until:UInt32}, 'UTC')
    AND toUnixTimestamp(slot) + known_after_s <= transform(
        roundDown(toUnixTimestamp(slot), {edges:Array(UInt32)}), {starts:Array(UInt32)}, {cutoffs:Array(UInt32)}, 0
    )
GROUP BY name, dimension, value, day_start
ORDER BY name, dimension, value, day_start
