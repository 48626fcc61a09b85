-- Rows are chosen by a hash of their id, so that the share is the same in every hour.
ALTER TABLE {table} DELETE
WHERE
    event_time >= {since:DateTime('UTC')} AND event_time < {until:DateTime('UTC')}
    AND (empty({names:Array(String)}) OR has({names:Array(String)}, event_name))
    AND ({platform:String} = '' OR platform = {platform:String})
    AND sipHash64(event_id) % 10000 < 100 * {percent:Float64}
