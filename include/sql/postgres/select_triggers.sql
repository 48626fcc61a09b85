-- The triggers that the application has on a table for inserts and updates, and that fire for ordinary sessions.
select t.tgname as name
from pg_trigger as t
where t.tgrelid = {oid} and not t.tgisinternal and t.tgenabled in ('O', 'A') and t.tgtype & 20 <> 0
order by t.tgname
