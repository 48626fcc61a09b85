-- The timeline of the write-ahead log; null if it cannot be learned. That of the last checkpoint would be out of date
-- for a while after a promotion.
select
    case
        when pg_is_in_recovery() then (select received_tli from pg_stat_wal_receiver)
        else ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int
    end as timeline
