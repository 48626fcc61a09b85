"""SQL files and the one place where identifiers are quoted.

Values are bound by the driver. Two kinds of statement cannot bind: COPY takes no parameters, and where a name comes
from a catalog it may hold a `%`, which is a placeholder to the driver once parameters are passed. Those get literals
that psycopg renders.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING, Any

from mindguard.resources import include_dir

if TYPE_CHECKING:
    from psycopg.sql import Composable, Composed


@cache
def _text(engine: str, name: str) -> str:
    return (include_dir() / "sql" / engine / f"{name}.sql").read_text("utf-8")


def statement(name: str, **parts: Composable) -> Composed:
    """The PostgreSQL statement in `include/sql/postgres/<name>.sql`, its `{placeholders}` filled with `parts`."""
    from psycopg.sql import SQL

    return SQL(_text("postgres", name)).format(**parts)


_CLICKHOUSE_PART = re.compile(r"\{(\w+)\}")


def clickhouse_statement(name: str, **parts: str) -> str:
    """The ClickHouse statement in `include/sql/clickhouse/<name>.sql`, its `{placeholders}` filled with `parts`.

    Those are SQL already: names through `clickhouse_identifier`, or another statement. Values stay `{name:Type}`
    and are bound by the server.
    """
    return _CLICKHOUSE_PART.sub(lambda found: parts[found[1]], _text("clickhouse", name))


def clickhouse_identifier(*names: str) -> str:
    """A quoted name for ClickHouse; several names are joined with dots (`database`, `table`)."""
    return ".".join("`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`" for name in names)


def clickhouse_literal(text: str) -> str:
    """Text as a literal, for what becomes a part of a table's definition."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


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
