-- For this transaction only: the limit of each statement, in the place of all limits of the role and the database.
-- noqa: disable=AL03
select
    -- This setting came with PostgreSQL 17, and an older server would report an error for the unknown name.
    case
        when current_setting('server_version_num')::int >= 170000 then set_config('transaction_timeout', '0', true)
    end,
    set_config('idle_in_transaction_session_timeout', '0', true),
    set_config('lock_timeout', '0', true),
    set_config('statement_timeout', %(milliseconds)s, true)
