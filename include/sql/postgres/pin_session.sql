-- The same text for the same value, whatever the role's or the database's own defaults are.
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
    -- With row security on, a role bound by a policy would export a part of the rows without an error.
    set_config('row_security', 'off', false),
    set_config('lock_timeout', '10s', false),
    set_config('statement_timeout', {statement_timeout}, false),
    set_config('idle_in_transaction_session_timeout', '0', false),
    -- PostgreSQL 17 brought it; a name that an older server does not know would be an error. It reads the catalog's own
    -- view, since search_path is only just being emptied.
    (
        select set_config(known.name, '0', false)
        from pg_catalog.pg_settings as known
        where known.name = 'transaction_timeout'
    ),
    -- Fingerprints have few groups, yet the planner would sort whole rows to form them.
    set_config('enable_sort', 'off', false)
