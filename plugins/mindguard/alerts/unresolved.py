"""Finds out whether a success ends an incident. This runs after every task, so it is one statement without an ORM."""

from __future__ import annotations

from collections.abc import Iterable

from mindguard import postgres_session
from mindguard.alerts.finding import Recovery
from mindguard.connections import Connection, postgres_conninfo
from mindguard.errors import one_line
from mindguard.masking import mask_secrets
from mindguard.sql import statement

_LIMIT_S = 5


def ends_an_incident(recoveries: Iterable[Recovery], connection: Connection) -> bool:
    """Return whether a recovery has the key of an unresolved incident.

    Args:
        recoveries: the recoveries to look up.
        connection: the connection of the incident store.

    Raises:
        StoreUnavailable: the store cannot be queried.
    """
    import psycopg

    keys = [recovery.recovery_key for recovery in recoveries]
    try:
        with postgres_session.connect(postgres_conninfo(connection), connect_timeout=3) as store:
            postgres_session.limit_transaction(store, _LIMIT_S)
            row = store.execute(statement("select_unresolved"), {"keys": keys}).fetchone()
    except psycopg.errors.UndefinedTable:
        return False  # nothing has been reported yet
    except psycopg.OperationalError as error:
        from mindguard.database.session import StoreUnavailable

        reason = mask_secrets(one_line(str(error))) or "no answer"
        raise StoreUnavailable(
            f"{connection.conn_id}: the incident store cannot be queried: {reason}",
            hint="check connections.ops and its PostgreSQL",
        ) from None
    return bool(row and row[0])
