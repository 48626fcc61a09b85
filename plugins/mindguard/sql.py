"""SQL files and the one place where identifiers are quoted.

Values are bound by the driver. Two kinds of statement cannot bind: COPY takes no parameters, and where a name comes
from a catalog it may hold a `%`, which is a placeholder to the driver once parameters are passed. Those get literals
that psycopg renders.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING, Any

from mindguard.settings import include_dir

if TYPE_CHECKING:
    from psycopg.sql import Composable, Composed


@cache
def _text(engine: str, name: str) -> str:
    return (include_dir() / "sql" / engine / f"{name}.sql").read_text("utf-8")


def statement(name: str, **parts: Composable) -> Composed:
    """The PostgreSQL statement in `include/sql/postgres/<name>.sql`, its `{placeholders}` filled with `parts`."""
    from psycopg.sql import SQL

    return SQL(_text("postgres", name)).format(**parts)


def identifier(*names: str) -> Composable:
    """A quoted name; several names are joined with dots (`schema`, `table`)."""
    from psycopg.sql import Identifier

    return Identifier(*names)


def literal(value: Any) -> Composable:
    """A value as an SQL literal, for the statements that take no parameters."""
    from psycopg.sql import Literal

    return Literal(value)


def raw(text: str) -> Composable:
    """Text that is SQL already, for instance a type as `format_type` names it. Never input."""
    from psycopg.sql import SQL

    return SQL(text)


def joined(separator: str, parts: Iterable[Composable]) -> Composable:
    """The parts with an SQL separator between them."""
    from psycopg.sql import SQL

    return SQL(separator).join(parts)
