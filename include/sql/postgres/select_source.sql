-- Facts about this server and database; the position in the write-ahead log is that of the snapshot's instant.
select
    current_database() as database,
    current_setting('server_version_num')::int as server_version,
    current_setting('server_encoding') as encoding,
    current_setting('application_name') as application_name,
    pg_is_in_recovery() as standby,
    -- What a session of this role has by default; `pin_session` has changed it for this one.
    (
        select path.reset_val from pg_settings as path
        where path.name = 'search_path'
    ) as search_path,
    case
        when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn()
    end::text as lsn,
    pg_snapshot_xmax(pg_current_snapshot())::text::bigint as next_transaction,
    pg_postmaster_start_time() as started_at
