-- What may end or starve an export by this session's role. Settings that this server version lacks are null.
select
    current_user::text as role,
    pg_backend_pid() as pid,
    r.rolconnlimit as connection_limit,
    r.rolcreatedb or r.rolsuper as may_create_databases,
    has_database_privilege(current_database(), 'create') as may_create_schemas,
    pg_is_in_recovery() as standby,
    current_setting('hot_standby_feedback')::bool as standby_feedback,
    current_setting('server_encoding') as encoding,
    current_setting('server_version_num')::int as server_version,
    clock_timestamp() as server_time,
    current_database()::text as database,
    (
        select extract(epoch from s.setting::bigint * interval '1 ms') from pg_settings as s
        where s.name = 'max_standby_streaming_delay'
    )::float as standby_delay_s,
    (
        select s.setting::bigint * 60 from pg_settings as s
        where s.name = 'old_snapshot_threshold'
    )::float as old_snapshot_s
from pg_roles as r
where r.rolname = current_user
