-- Event triggers that DDL of sessions with these values of session_replication_role runs into.
select evtname as name
from pg_event_trigger
where evtevent <> 'login' and evtenabled::text = any({enabled})
order by evtname
