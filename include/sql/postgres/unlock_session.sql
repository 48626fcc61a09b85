select pg_advisory_unlock(%(first)s::int, %(second)s::int)
