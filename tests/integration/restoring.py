"""Shared by the tests of restores and drills: make a snapshot, an empty database, compare two databases."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
from psycopg import sql

from devstack.stack import Stack
from mindguard.settings.snapshot import SnapshotSettings
from mindguard.snapshots.export.source import open_source
from mindguard.snapshots.export.take import Taken, take_snapshot
from mindguard.snapshots.storage.manifest import Manifest
from mindguard.snapshots.storage.store import Store
from tests.integration.hostile import HOSTILE_ROWS, HOSTILE_SCHEMA

NOW = datetime(2026, 11, 24, 18, 0, tzinfo=UTC)
ZONE = ZoneInfo("Asia/Shanghai")


def run(conninfo: str, *statements: str) -> list[tuple[Any, ...]]:
    """Run the statements in one transaction, and return the rows of the last one."""
    with psycopg.connect(conninfo) as connection:
        for statement in statements:
            cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


def take(conninfo: str, store: Store, progress: Callable[[str], None] = print, **settings: Any) -> Taken:
    """Take a snapshot of `public.t`, in parts of 1 MB, unless the settings say otherwise."""
    asked = {"bucket": "x", "tables": [{"name": "public.t"}], "part_mb": 1, "connections": 2} | settings
    return take_snapshot(conninfo, store, SnapshotSettings.model_validate(asked), now=NOW, zone=ZONE, progress=progress)


def snapshot(conninfo: str, store: Store, *tables: str | dict[str, Any], **more: Any) -> Manifest:
    """Take a snapshot of these tables, in parts of 1 MB, and return its manifest."""
    named = [{"name": table} if isinstance(table, str) else table for table in tables]
    return take(conninfo, store, tables=named, **more).manifest


def as_superuser(stack: Stack, conninfo: str) -> str:
    """Return the superuser's connection string to the same database of the stack."""
    return stack.postgres_conninfo("postgres", str(psycopg.conninfo.conninfo_to_dict(conninfo)["dbname"]))


def as_settings(quoted_name: str) -> dict[str, Any]:
    """Return the settings of a hostile or odd table; of the one that has a child, only its own rows are taken."""
    name = quoted_name.replace('"', "")
    return {"name": name, "inherited": "own" if name == "public.parent" else None}


@contextmanager
def empty_database(stack: Stack, owner: str = "mindguard_app_owner", *, template: str | None = None) -> Iterator[str]:
    """Make a database, empty or a copy of the template, and drop it when the block ends."""
    name = f"empty_{uuid.uuid4().hex[:12]}"
    original = psycopg.conninfo.conninfo_to_dict(template)["dbname"] if template else "template1"
    names = [sql.Identifier(each) for each in (name, owner, str(original))]

    def admin(statement: str) -> None:
        # A connection each: the test may kill the server.
        with psycopg.connect(stack.postgres_conninfo("postgres", "postgres"), autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(*names))

    # The default strategy writes every page of the template to the write-ahead log.
    admin("create database {} owner {} template {} strategy file_copy")
    try:
        yield stack.postgres_conninfo(owner, name)
    finally:
        admin("drop database {} with (force)")


def fill_hostile(conninfo: str, schema: str = HOSTILE_SCHEMA) -> None:
    """Create the table of hostile values, and fill it."""
    with psycopg.connect(conninfo) as connection:
        connection.execute(schema)
        for row in HOSTILE_ROWS:
            names = sql.SQL(", ").join(map(sql.Identifier, row))
            values = sql.SQL(", ").join(map(sql.Literal, row.values()))
            insert = (
                sql.SQL("insert into hostile ({}) values ({})")
                if row
                else sql.SQL("insert into hostile default values")
            )
            connection.execute(insert.format(names, values) if row else insert)


def fingerprints(conninfo: str, *tables: str) -> list[tuple[int, str]]:
    """Return the row count and the fingerprint of each table."""
    with open_source(conninfo, max_age_s=60) as source:
        return [source.fingerprint(source.describe(table, None)) for table in tables]


def as_text(conninfo: str, quoted: str, key: str = "1") -> list[str]:
    """Return every row as PostgreSQL's own text, sorted."""
    with psycopg.connect(conninfo) as connection:
        connection.execute("set search_path = ''; set timezone = 'UTC'; set lc_monetary = 'C'")
        only = "" if "parted" in quoted else "only "
        rows = connection.execute(f"select format('%s', t) from {only}{quoted} as t").fetchall()
    return sorted(row[0] for row in rows)
