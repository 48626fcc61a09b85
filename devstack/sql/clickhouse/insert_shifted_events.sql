-- The time is part of the table's order and cannot be updated: copies get another time, and the originals are deleted.
-- All events of a user are shifted, since the phone's clock is wrong. A copy keeps its landing and gets another id.
-- The copies come from a subquery: beside REPLACE, a condition would see the new values.
INSERT INTO {table}
SELECT * REPLACE (
    addSeconds(event_time, {seconds:Int64}) AS event_time,
    reinterpretAsUUID(sipHash128(event_id)) AS event_id,
    'shifted' AS network
)
FROM (
    SELECT *
    FROM {table}
    WHERE
        event_time >= {since:DateTime('UTC')} AND event_time < {until:DateTime('UTC')}
        AND sipHash64(user_id) % 10000 < 100 * {percent:Float64}
)
