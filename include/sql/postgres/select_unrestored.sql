-- Kinds of things in this database that no restore brings back, with their number.
select
    'event trigger' as kind,
    count(*) as things
from pg_event_trigger
union all
select
    'publication' as kind,
    count(*) as things
from pg_publication
union all
select
    'subscription' as kind,
    count(*) as things
from pg_stat_subscription
union all
select
    'foreign server' as kind,
    count(*) as things
from pg_foreign_server
union all
select
    'foreign table' as kind,
    count(*) as things
from pg_foreign_table
order by kind
