select evtname as name
from pg_event_trigger
where evtenabled <> 'D'
order by evtname
