ALTER TABLE {table} UPDATE ingest_time = addSeconds(ingest_time, {seconds:Int64})
WHERE
    event_time >= {since:DateTime('UTC')} AND event_time < {until:DateTime('UTC')}
    AND (empty({names:Array(String)}) OR has({names:Array(String)}, event_name))
