-- For this transaction only.
select set_config('statement_timeout', %(milliseconds)s, true)
