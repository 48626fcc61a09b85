-- Whether the write-ahead log is on the disk up to the position.
select pg_current_wal_flush_lsn() >= %(position)s::pg_lsn as flushed
