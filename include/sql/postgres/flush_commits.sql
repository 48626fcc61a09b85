-- A commit that has written something waits for the disk and for replicas, and therefore for all earlier commits.
select pg_logical_emit_message(true, 'mindguard', 'restored')
