ALTER TABLE {table} DELETE
WHERE
    event_time >= {since:DateTime('UTC')} AND event_time < {until:DateTime('UTC')}
    AND network != 'shifted'
    AND sipHash64(user_id) % 10000 < 100 * {percent:Float64}
