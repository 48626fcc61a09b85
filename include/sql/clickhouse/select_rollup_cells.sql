-- The rollup's definition, used by the view, the backfill and the check. An event is counted at its own time, unless
-- that is more than five minutes after its landing or more than a week before it: such a clock is wrong, and the landing
-- time is used instead.
SELECT
    event_name,
    toStartOfFiveMinutes(toDateTime(if(lag_s BETWEEN -300 AND 604800, event_time, ingest_time), 'UTC')) AS slot,
    arrayFirst(
        edge -> edge >= dateDiff('second', slot, ingest_time),
        [600, 900, 1800, 3600, 7200, 14400, 28800, 86400, 172800, 605100]::Array(UInt32)
    ) AS known_after_s,
    {dimensions},
    count() AS events,
    countIf(lag_s NOT BETWEEN -300 AND 604800) AS misdated
FROM (
    SELECT
        toString({event}) AS event_name,
        {event_time} AS event_time,
        {ingest_time} AS ingest_time,
        dateDiff('second', {event_time}, {ingest_time}) AS lag_s,
        {dimension_texts}
    FROM {table}
    WHERE {landed}
)
GROUP BY event_name, slot, known_after_s, {dimensions}
