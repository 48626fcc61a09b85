-- Events by name and day, each day as it looked at its own cutoff: landed until then, and nothing later.
-- Names that are not asked for are one row with an empty name, so that the sum over names is all traffic.
SELECT
    if(has({names:Array(String)}, event_name), event_name, '') AS name,
    roundDown(toUnixTimestamp(slot), {edges:Array(UInt32)}) AS day_start,
    toInt64(sum(events)) AS count,
    toInt64(sum(misdated)) AS misdated_count
FROM {rollup}
WHERE
    slot >= toDateTime({since:UInt32}, 'UTC')
    AND slot < toDateTime({until:UInt32}, 'UTC')
    AND toUnixTimestamp(slot) + known_after_s <= transform(
        roundDown(toUnixTimestamp(slot), {edges:Array(UInt32)}), {starts:Array(UInt32)}, {cutoffs:Array(UInt32)}, 0
    )
GROUP BY name, day_start
ORDER BY name, day_start
