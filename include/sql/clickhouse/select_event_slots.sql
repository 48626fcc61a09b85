-- Events of the named ones by five minutes of the asked days, each day as it looked at its own cutoff.
SELECT
    event_name AS name,
    roundDown(toUnixTimestamp(slot), {edges:Array(UInt32)}) AS day_start,
    toInt64(toUnixTimestamp(slot) - day_start) AS second,
    toInt64(sum(events)) AS count
FROM {rollup}
WHERE
    event_name IN {names:Array(String)}
    AND slot >= toDateTime({since:UInt32}, 'UTC')
    AND slot < toDateTime({until:UInt32}, 'UTC')
    AND toUnixTimestamp(slot) + known_after_s <= transform(
        roundDown(toUnixTimestamp(slot), {edges:Array(UInt32)}), {starts:Array(UInt32)}, {cutoffs:Array(UInt32)}, 0
    )
GROUP BY name, day_start, second
ORDER BY name, day_start, second
