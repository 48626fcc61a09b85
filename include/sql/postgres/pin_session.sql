-- Makes equal values have equal text, whatever the defaults of the role or the database are.
-- noqa: disable=AL03
select
    set_config('search_path', '', false),
    set_config('datestyle', 'ISO, YMD', false),
    set_config('intervalstyle', 'postgres', false),
    set_config('timezone', 'UTC', false),
    set_config('extra_float_digits', '3', false),
    set_config('bytea_output', 'hex', false),
    set_config('lc_monetary', 'C', false),
    set_config('client_encoding', 'UTF8', false),
    -- If row security were on, a role that a policy applies to would export only some of the rows, without an error.
    set_config('row_security', 'off', false),
    set_config('lock_timeout', '10s', false),
    set_config('statement_timeout', {statement_timeout}, false),
    set_config('idle_in_transaction_session_timeout', '0', false),
    set_config('idle_session_timeout', '0', false),
    -- This setting came with PostgreSQL 17, and an older server would report an error for the unknown name. The view is
    -- named with its schema, because this statement is just emptying search_path.
    (
        select set_config(known.name, '0', false)
        from pg_catalog.pg_settings as known
        where known.name = 'transaction_timeout'
    ),
    -- Fingerprints have few groups, but the planner would still sort whole rows to form them.
    set_config('enable_sort', 'off', false)
