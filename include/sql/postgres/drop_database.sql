-- FORCE is not used: it would have to terminate an autovacuum worker, which only a superuser may do. The plain form
-- asks autovacuum to leave and waits for it. The drill's own connections are closed by then.
drop database if exists {database}
