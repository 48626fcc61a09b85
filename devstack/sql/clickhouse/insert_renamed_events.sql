-- The copies come from a subquery: beside REPLACE, a condition would see the new values.
INSERT INTO {table}
SELECT * REPLACE ({into:String} AS event_name, reinterpretAsUUID(sipHash128(event_id, 1)) AS event_id)
FROM (
    SELECT *
    FROM {table}
    WHERE
        event_time >= {since:DateTime('UTC')} AND event_time < {until:DateTime('UTC')}
        AND event_name = {name:String}
)
