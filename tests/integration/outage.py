"""An outage of the incident store alone: Airflow's own tables are on the same server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from devstack.stack import Stack


@contextmanager
def incident_store_down(stack: Stack) -> Iterator[None]:
    """Refuse connections to the store's database, and end the existing ones, until the block ends."""
    with psycopg.connect(stack.postgres_conninfo("postgres", "postgres"), autocommit=True) as admin:
        admin.execute("alter database mindguard_ops allow_connections false")
        try:
            admin.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = 'mindguard_ops'")
            yield
        finally:
            admin.execute("alter database mindguard_ops allow_connections true")
