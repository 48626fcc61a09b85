"""Compare the schema of a rebuilt database with that of the source, entry by entry.

Equal values do not make an equal database: a key can be missing, an index unattached, a constraint unchecked. So the
rebuilt database's schema is dumped as the source's was, and every entry of the source's dump must be there again, with
the same SQL.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

from mindguard.snapshots import pgtools
from mindguard.snapshots.restore import target
from mindguard.snapshots.restore.schema_dump import ArchiveEntry, SchemaDump
from mindguard.sql import statement

_DUMP = ["pg_dump", "--schema-only", "--format=custom", "--encoding=UTF8", "--lock-wait-timeout=60s"]
# Every database has these from its template, so that a dump does not say how they came to be.
_OF_EVERY_DATABASE = {"SCHEMA public", "COMMENT SCHEMA public"}
_COLUMNS = ("TABLE", "FOREIGN TABLE", "TYPE")
# The server writes some expressions in another way once they have been written out and read back.
_CAST = re.compile(
    r"::(?:character varying|bit varying|double precision|time(?:stamp)?(?:\(\d\))? with(?:out)? time zone"
    r'|(?:"[^"]+"|\w+)(?:\.(?:"[^"]+"|\w+))?)(?:\([\d,]+\))?(?:\[\])*'
)
_PUNCTUATION = re.compile(r"[()\s]+")


def differences(
    source: SchemaDump,
    conninfo: str,
    folder: Path,
    *,
    without: Collection[ArchiveEntry],
    known: Collection[str] = (),
) -> list[str]:
    """Return one line for each entry of the source's dump that the rebuilt database lacks or has with other SQL.

    If the dumps are from different major versions of the server or of pg_dump, entries are only looked for, since each
    version writes its SQL in its own way.

    Args:
        source: the source's dump.
        conninfo: libpq connection string of the rebuilt database.
        folder: an empty folder for the rebuilt database's dump.
        without: entries of the source that were left out on purpose.
        known: names of checks that are known not to be as in the source; tables and domains are compared without them.

    Raises:
        ToolFailed, TargetError: the schemas could not be compared.
    """
    file = folder / "rebuilt.dump"
    file.write_bytes(pgtools.run(_DUMP, conninfo))
    rebuilt = SchemaDump(file)
    expected, found = source.definitions(without=without), rebuilt.definitions()
    lines = []
    for key in sorted(expected.keys() - _OF_EVERY_DATABASE):
        if key not in found:
            lines.append(f"{key}: missing")
        elif source.versions == rebuilt.versions and not _equal(
            key, _without_checks(expected[key], known), _without_checks(found[key], known)
        ):
            lines.append(f"{key}: differs from the source's")
    with target.connect(conninfo) as connection:
        invalid = connection.execute(statement("select_invalid_indexes")).fetchall()
    return lines + [f"index {row['name']}: not valid, although every partition has its part of it" for row in invalid]


# A dump has no type of an identity's sequence, which CREATE TABLE … (LIKE …) makes bigint, with the column's limits.
_IDENTITY_LIMIT = re.compile(
    r"^ *(?:MAXVALUE (?:2147483647|32767)|NO MAXVALUE|MINVALUE -(?:2147483648|32768)|NO MINVALUE)$", re.MULTILINE
)
# Since PostgreSQL 18 these have names. A dump leaves out one that PostgreSQL chose, and it chooses another if a table
# that was made before has that one, as the former table of a swap does.
_NOT_NULL = re.compile(r'CONSTRAINT (?:"(?:[^"]|"")+"|\w+) (?=NOT NULL\b)')


def _equal(key: str, expected: str, found: str) -> bool:
    if key.startswith(_COLUMNS):
        expected, found = (_NOT_NULL.sub("", sql) for sql in (expected, found))
    if key.startswith(_COLUMNS) and "\nINHERITS (" in expected:
        # A child's columns follow its parent's, which have an order of their own after ALTER TABLE.
        return _lines(expected) == _lines(found)
    if key.startswith("SEQUENCE") and "ADD GENERATED" in expected:
        expected, found = (_IDENTITY_LIMIT.sub("", sql) for sql in (expected, found))
    return expected == found or _plain(expected) == _plain(found)


def _lines(sql: str) -> list[str]:
    return sorted(_plain(line.rstrip(",")) for line in sql.splitlines())


def _without_checks(sql: str, names: Collection[str]) -> str:
    if not names:
        return sql
    check = re.compile(rf"\s*CONSTRAINT (?:{'|'.join(re.escape(name) for name in names)}) CHECK .*")
    lines = (line for line in sql.splitlines() if not check.match(line.replace('"', "")))
    return "\n".join(line.rstrip(",;") for line in lines)


def _plain(sql: str) -> str:
    """Return the SQL without what changes when an expression is written out and read back."""
    return _PUNCTUATION.sub("", _CAST.sub("", _PUNCTUATION.sub(" ", sql)))
