"""SQL files and fragments, and the one place where identifiers are quoted.

The driver binds values. Two kinds of statement cannot have bound values: COPY takes no parameters, and a statement
that contains a name from a catalog may contain a `%`, which the driver would read as a placeholder as soon as
parameters are passed. In those statements, values are literals that psycopg renders.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING, Any, LiteralString

from mindguard.resources import include_dir

if TYPE_CHECKING:
    from psycopg.sql import SQL, Composable, Composed


@cache
def _text(engine: str, name: str) -> str:
    return (include_dir() / "sql" / engine / f"{name}.sql").read_text("utf-8")


def statement(name: str, **parts: Composable) -> Composed:
    """Return the PostgreSQL statement in `include/sql/postgres/<name>.sql`, with its `{placeholders}` filled in."""
    from psycopg.sql import SQL

    return SQL(_text("postgres", name)).format(**parts)


def fragment(template: LiteralString, **parts: Composable) -> Composed:
    """Return a piece of a PostgreSQL statement, with its `{placeholders}` filled in: `{key} >= {lower}`."""
    from psycopg.sql import SQL

    return SQL(template).format(**parts)


_END = re.compile(r";(?:\s|--[^\n]*(?:\n|\Z)|/\*.*?\*/)*\Z", re.DOTALL)


def first_rows(query: str, most: int) -> str:
    """Return one PostgreSQL query for the first rows of a query that somebody wrote, whose last semicolon may stay."""
    return _text("postgres", "select_first").format(query=_END.sub("", query), most=most)


_PERCENT = re.compile(r"%%|%\([^()%]+\)[sbt]|%")


def with_percents(query: str) -> bytes:
    """Return a PostgreSQL query that somebody wrote, so that the driver takes only `%(name)s` for a placeholder.

    Every other `%` is itself, for instance that of `LIKE 'a%'`. `%%` stays one, as the driver reads it.
    """
    return _PERCENT.sub(lambda found: "%%" if found[0] == "%" else found[0], query).encode()


_CLICKHOUSE_PLACEHOLDER = re.compile(r"\{(\w+)\}")


def clickhouse_statement(name: str, **parts: str) -> str:
    """Return the ClickHouse statement in `include/sql/clickhouse/<name>.sql`, with its `{placeholders}` filled in.

    The parts must be SQL already: names quoted by `clickhouse_identifier`, or another statement. Placeholders for
    values have the form `{name:Type}`; they stay as they are, and the server binds the values.
    """
    return _CLICKHOUSE_PLACEHOLDER.sub(lambda found: parts[found[1]], _text("clickhouse", name))


def clickhouse_identifier(*names: str) -> str:
    """Return a quoted name for ClickHouse; several names are joined with dots (`database`, `table`)."""
    return ".".join("`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`" for name in names)


def clickhouse_literal(text: str) -> str:
    """Return text as a literal, for use in a table's definition, where the server binds no values."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def identifier(*names: str) -> Composable:
    """Return a quoted name; several names are joined with dots (`schema`, `table`)."""
    from psycopg.sql import Identifier

    return Identifier(*names)


def literal(value: Any) -> Composable:
    """Return a value as an SQL literal, for the statements that take no parameters."""
    from psycopg.sql import Literal

    return Literal(value)


def raw(text: str) -> SQL:
    """Return text that is SQL already, such as a type as `format_type` spells it. Never pass it user input."""
    from psycopg.sql import SQL

    return SQL(text)


def joined(separator: LiteralString, parts: Iterable[Composable]) -> Composable:
    """Return the parts with an SQL separator between them."""
    from psycopg.sql import SQL

    return SQL(separator).join(parts)
