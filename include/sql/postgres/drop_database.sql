-- Without FORCE: that would have to end an autovacuum worker, which only a superuser may. The plain form asks
-- autovacuum to leave and waits for it; the drill's own connections are closed by then.
drop database if exists {database}
