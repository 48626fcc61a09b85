"""An error of PostgreSQL in words that are safe to show: rows are health records, so no value of a row may be in them.

PostgreSQL quotes values in messages (`invalid input syntax for type integer: "…"`), in details (`Key (id)=(…)`) and in
contexts (`COPY t, line 1, column c: "…"`), in the language of the server. SQLSTATE and the names of tables, columns and
constraints say what is wrong without them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mindguard.errors import one_line

if TYPE_CHECKING:
    import psycopg

# Classes of SQLSTATE whose messages name objects, settings and resources, but never a value of a row.
_ABOUT_OBJECTS = frozenset({"08", "0A", "25", "26", "28", "2B", "34", "3B", "3D", "3F", "40", "42", "53", "54", "55"})
_ABOUT_THE_SERVER = frozenset({"57", "58"})
_SYNTAX_ERROR = "42601"  # it quotes a piece of the statement
_PING_S = "3"
# Options of libpq with which a client refuses a server that answers, and the values with which it does not.
_DEMANDS = {
    "sslmode": {"disable", "allow", "prefer"},
    "gssencmode": {"disable", "prefer"},
    "channel_binding": {"disable", "prefer"},
    "require_auth": set[str](),
    "target_session_attrs": {"any", "prefer-standby"},
}
_ROW_SECURITY = "check_enable_rls"  # the function of PostgreSQL's source that refuses what a policy would filter


class DatabaseFault(Exception):
    """Stands for an error of the database as the cause of another error, so that a traceback shows no row's values."""


def described(error: BaseException) -> str:
    """Return what the database said, in one line without values of rows.

    Args:
        error: of psycopg or of ADBC. Other errors are described by their first line.
    """
    diagnosis = getattr(error, "diag", None)
    state = str(getattr(error, "sqlstate", None) or "")
    if not state:  # not from the server, or from before it took the connection
        return one_line(str(error)) or type(error).__name__
    raised = is_raised(error)
    if state[:2] in _ABOUT_OBJECTS | _ABOUT_THE_SERVER and state != _SYNTAX_ERROR and not raised:
        message = getattr(diagnosis, "message_primary", None) or str(error)
        return one_line(message) or _name(state)
    if raised:  # its message and its names are whatever the function says
        return f"a function of the database raised an error (SQLSTATE {state})"
    return one_line(" ".join(f"{_name(state)} (SQLSTATE {state}){_objects(diagnosis)}".split()))


def is_raised(error: BaseException) -> bool:
    """Return whether a function of the database raised the error itself, with whatever SQLSTATE."""
    return getattr(getattr(error, "diag", None), "source_function", None) == "exec_stmt_raise"


def cause(error: BaseException) -> DatabaseFault:
    """Return an error that can be named as the cause: it has the traceback, but no value of a row."""
    return DatabaseFault(f"{type(error).__name__}: {described(error)}").with_traceback(error.__traceback__)


def hides_rows(error: psycopg.Error) -> bool:
    """Return whether row-level security refused a query, because a policy would have hidden rows."""
    return error.sqlstate == "42501" and error.diag.source_function == _ROW_SECURITY


def connection_hint(error: psycopg.Error) -> str:
    """Return what to do about a connection that failed, or nothing where that is not certain.

    Such an error has no SQLSTATE, and its text is in the server's or libpq's language. So libpq is asked instead:
    whether it takes the connection's options, and whether the server answers with them and without them.
    """
    from psycopg.conninfo import make_conninfo
    from psycopg.pq import PGconn, Ping

    attempt = getattr(error, "pgconn", None)
    if attempt is None:  # it was lost, or there was no address to connect to
        return "check that it is up and reachable from here"
    given = {each.keyword.decode(): each.val.decode() for each in attempt.info if each.val}

    def pinged(**changed: str) -> int:
        # Without its password, which may be wrong: a server may count failures.
        options = {name: value for name, value in given.items() if name not in {"password", "replication"}}
        return PGconn.ping(make_conninfo("", **{**options, "connect_timeout": _PING_S, **changed}).encode())

    answer = pinged() if given else Ping.NO_ATTEMPT
    if answer == Ping.NO_ATTEMPT:
        return "correct the options of the connection (its extras, or the service that it names)"
    demands = [name for name, values in _DEMANDS.items() if given.get(name) and given[name] not in values]
    asked_for = " and ".join(demands)
    if answer == Ping.NO_RESPONSE:
        if not demands or pinged(sslmode="disable", gssencmode="disable") == Ping.NO_RESPONSE:
            return "check that it is up and reachable from here"
        return f"the server answers, but not with the connection's {asked_for}: correct it, or set up the server for it"
    if answer == Ping.REJECT:
        return "the server is starting or stopping: run again when it is up"
    if attempt.needs_password or (attempt.used_password and not attempt.password):
        return "the server asks for a password: add the connection's"
    if attempt.used_password and not {"channel_binding", "target_session_attrs"}.intersection(demands):
        return (
            "the server answers: correct the user or the password or the database (schema field) of the connection, "
            "or free connections there"
        )
    return f"the server answers: check that it offers what the connection's {asked_for} asks for" if demands else ""


def _name(state: str) -> str:
    """Return the condition's name in words: `22P02` is `invalid text representation`."""
    from psycopg.errors import lookup

    try:
        name = lookup(state).__name__
    except KeyError:
        return "an error of its own"
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name).lower()


def _objects(diagnosis: object) -> str:
    """Return the constraint, column, table or type that the server names with the error."""
    parts = []
    if constraint := getattr(diagnosis, "constraint_name", None):
        parts.append(f"constraint {constraint}")
    if column := getattr(diagnosis, "column_name", None):
        parts.append(f"column {column}")
    if table := getattr(diagnosis, "table_name", None):
        parts.append(f"table {getattr(diagnosis, 'schema_name', None) or '?'}.{table}")
    elif kind := getattr(diagnosis, "datatype_name", None):
        parts.append(f"type {kind}")
    return f": {' of '.join(parts)}" if parts else ""
