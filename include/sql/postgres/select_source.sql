-- Facts about this server and database; the position in the write-ahead log is that of the snapshot's instant.
select
    current_database() as database,
    current_setting('server_version_num')::int as server_version,
    current_setting('server_encoding') as encoding,
    pg_is_in_recovery() as standby,
    case
        when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn()
    end::text as lsn
