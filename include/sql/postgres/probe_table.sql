-- Reads the table as an export would, so it fails if row-level security would hide rows.
select count(*) from (select 1 from {table} limit 1) as probe -- noqa: AM09
