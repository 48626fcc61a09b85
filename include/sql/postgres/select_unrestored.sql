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
union all
select
    'user mapping' as kind,
    count(*) as things
from pg_user_mappings
union all
select
    'database setting' as kind,
    count(*) as things
from pg_db_role_setting as s
cross join lateral unnest(s.setconfig)
where
    s.setdatabase = (
        select d.oid from pg_database as d
        where d.datname = current_database()
    )
order by kind
