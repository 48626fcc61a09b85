-- Events by day, counted in the raw table and in the rollup.
SELECT
    roundDown(toUnixTimestamp(slot), {edges:Array(UInt32)}) AS day_start,
    toInt64(sum(raw)) AS raw_events,
    toInt64(sum(rolled_up)) AS rollup_events
FROM (
    SELECT slot, events AS raw, 0 AS rolled_up
    FROM ({cells})
    UNION ALL
    SELECT slot, 0 AS raw, events AS rolled_up
    FROM {rollup}
)
WHERE
    slot >= toDateTime({since:UInt32}, 'UTC')
    AND slot < toDateTime({until:UInt32}, 'UTC')
GROUP BY day_start
ORDER BY day_start
