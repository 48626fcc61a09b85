-- A transaction of its own that takes a number: at its end, the server logs that it was committed, and soon flushes the
-- write-ahead log up to there.
select pg_current_xact_id()
