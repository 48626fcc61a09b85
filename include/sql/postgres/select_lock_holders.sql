-- objsubid 2: a lock that has two numbers.
select array(
    select l.pid from pg_locks as l
    where
        l.locktype = 'advisory'
        and l.classid = %(first)s::int::oid
        and l.objid = %(second)s::int::oid
        and l.objsubid = 2
) as pids
