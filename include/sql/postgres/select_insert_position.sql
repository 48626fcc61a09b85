-- Where the next record of the write-ahead log will be written.
select pg_current_wal_insert_lsn()::text as position
