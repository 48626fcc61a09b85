-- The comment on a database, and whether a session uses it.
select
    shobj_description(d.oid, 'pg_database') as comment,
    exists(
        select 1 from pg_stat_activity as a
        where a.datname = d.datname
    ) as used
from pg_database as d
where d.datname = %(name)s
