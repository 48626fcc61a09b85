-- A commit that has written something waits for the disk, and for replicas, and so for all commits before it.
select pg_logical_emit_message(true, 'mindguard', 'restored')
