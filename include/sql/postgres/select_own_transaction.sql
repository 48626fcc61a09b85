-- Where the next record of the write-ahead log will be written, from a transaction of its own that takes a number: at
-- its end, the server logs that it was committed, and soon flushes the log up to there.
select
    pg_current_wal_insert_lsn()::text as position,
    pg_current_xact_id() as number
