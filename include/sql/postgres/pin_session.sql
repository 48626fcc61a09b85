-- Makes equal values have equal text, whatever the defaults of the role or the database are. If `local` is true, for
-- this transaction only: a pooler gives the session to other clients.
-- noqa: disable=AL03
select
    -- This setting came with PostgreSQL 17, and an older server would report an error for the unknown name. It comes
    -- first, because the transaction's time is running already.
    case
        when current_setting('server_version_num')::int >= 170000 then set_config('transaction_timeout', '0', {local})
    end,
    set_config('statement_timeout', {statement_timeout}, {local}),
    set_config('lock_timeout', {lock_timeout}, {local}),
    set_config('idle_in_transaction_session_timeout', '0', {local}),
    set_config('idle_session_timeout', '0', {local}),
    set_config('search_path', '', {local}),
    set_config('datestyle', 'ISO, YMD', {local}),
    set_config('intervalstyle', 'postgres', {local}),
    set_config('timezone', 'UTC', {local}),
    set_config('extra_float_digits', '3', {local}),
    set_config('bytea_output', 'hex', {local}),
    set_config('lc_monetary', 'C', {local}),
    set_config('client_encoding', 'UTF8', {local}),
    set_config('quote_all_identifiers', 'off', {local}),
    -- If row security were on, a role that a policy applies to would export only some of the rows, without an error.
    set_config('row_security', 'off', {local}),
    -- Fingerprints have few groups, but the planner would still sort whole rows to form them.
    set_config('enable_sort', 'off', {local}),
    -- Compiling a fingerprint's many expressions takes longer than it saves.
    set_config('jit', 'off', {local})
