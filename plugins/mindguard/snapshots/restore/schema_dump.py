"""Restore a schema dump entry by entry, so that the caller learns which entries were left out or failed, and why."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mindguard.snapshots import pgtools
from mindguard.snapshots.pgtools import ToolFailed
from mindguard.snapshots.restore import target
from mindguard.snapshots.restore.target import SnapshotAtFault
from mindguard.snapshots.storage.manifest import TableName

_PLAIN = ("--no-owner", "--no-privileges", "--no-tablespaces", "--no-security-labels")
_ENTRY = re.compile(r"^(\d+); \d+ \d+ (.*)$", re.MULTILINE)
_FAILED = re.compile(r"from TOC entry (\d+);")
_ENTRY_BODY = re.compile(r"^--\n-- (?:Name|Data for Name): ", re.MULTILINE)
_META_COMMAND = re.compile(r"^\\.*\n", re.MULTILINE)
_NAME = r'(?:"(?:[^"]|"")+"|[^\s".,(;]+)'
_FOREIGN_KEY = re.compile(
    rf"^ALTER TABLE (?:ONLY )?({_NAME}\.{_NAME})\s+ADD CONSTRAINT ({_NAME}) FOREIGN KEY .*?"
    rf" REFERENCES ({_NAME})\.({_NAME})\(",
    re.MULTILINE | re.DOTALL,
)
# SQLSTATEs that mean that the object exists already, as schema public does.
_EXISTS_ALREADY = {"42P06", "42P07", "42710", "42723"}

_NOT_FOR_SCRATCH = {
    "PUBLICATION": "it would replicate rows of a copy",
    "SUBSCRIPTION": "it would connect to a publisher",
    "EVENT TRIGGER": "it needs a superuser",
    "FOREIGN DATA WRAPPER": "it needs a superuser",
    "SERVER": "it leads to another database",
    "USER MAPPING": "it holds another database's credentials",
    "FOREIGN TABLE": "its rows are in another database",
}


@dataclass(frozen=True)
class ArchiveEntry:
    """One line of the dump's table of contents.

    Attributes:
        number: the entry's number in the dump.
        text: kind, schema, name and owner of the object, separated by spaces.
    """

    number: int
    text: str

    def is_a(self, kind: str) -> bool:
        """Return whether the entry is of this kind, in pg_restore's terms."""
        return self.text.startswith(f"{kind} ")

    def __str__(self) -> str:
        return self.text.rsplit(" ", 1)[0].replace(" - ", " ")


@dataclass(frozen=True)
class ForeignKey:
    """A foreign key of the dump.

    Attributes:
        entry: its entry in the dump.
        table: the table that has the key, as the dump quotes it.
        name: the key's name, as the dump quotes it.
        points_at: the table that it references.
    """

    entry: ArchiveEntry
    table: str
    name: str
    points_at: TableName


class SchemaDump:
    """A `pg_dump --schema-only -Fc` file.

    Args:
        file: path of the file.
        conninfo: libpq connection string of the database to restore into.

    Raises:
        ToolFailed: pg_restore is missing, or too old for the file.
    """

    def __init__(self, file: Path, conninfo: str) -> None:
        self._file = file
        self._conninfo = conninfo
        listing = pgtools.run(["pg_restore", "--list", str(file)]).decode()
        self.entries = [ArchiveEntry(int(number), text) for number, text in _ENTRY.findall(listing)]

    def foreign_keys(self) -> list[ForeignKey]:
        """Return every foreign key, in the dump's order."""
        entries = [entry for entry in self.entries if entry.is_a("FK CONSTRAINT")]
        found = _FOREIGN_KEY.findall(self._script(entries)) if entries else []
        return [
            ForeignKey(entry, table, name, TableName(_unquoted(schema), _unquoted(relation)))
            for entry, (table, name, schema, relation) in zip(entries, found, strict=True)
        ]

    def restore(
        self, section: Literal["pre-data", "post-data"], without: Iterable[ArchiveEntry] = (), *, jobs: int = 1
    ) -> list[str]:
        """Restore a section; return one line for each entry that could not be restored, with the reason.

        An entry that fails is tried again by itself after all others, so that its line has PostgreSQL's own reason.

        Args:
            section: the section of the dump to restore.
            without: entries to leave out.
            jobs: number of entries that pg_restore restores at the same time.

        Raises:
            SnapshotAtFault: rows contradict a constraint.
            ToolFailed: pg_restore could not work at all.
        """
        left_out = set(without)
        included = [entry for entry in self.entries if entry not in left_out]
        with _List(self._file, included) as listed:
            command = ["pg_restore", *_PLAIN, f"--section={section}", f"--jobs={jobs}", f"--use-list={listed}"]
            # Only with --verbose does pg_restore name the entry that an error belongs to.
            failed = _failing_entries([*command, "--verbose", str(self._file)], self._conninfo)
        return [line for entry in included if entry.number in failed and (line := self._try_alone(entry))]

    def _script(self, entries: Sequence[ArchiveEntry]) -> str:
        with _List(self._file, entries) as listed:
            return pgtools.run(["pg_restore", *_PLAIN, "--file=-", f"--use-list={listed}", str(self._file)]).decode()

    def _try_alone(self, entry: ArchiveEntry) -> str | None:
        import psycopg

        script = self._script([entry])
        begin = _ENTRY_BODY.search(script)
        statements = _META_COMMAND.sub("", script[begin.start() if begin else 0 :])
        with target.connect(self._conninfo) as connection:
            try:
                connection.execute("set check_function_bodies = off")
                connection.execute(statements.encode())
            except psycopg.Error as error:
                if error.sqlstate is None:
                    raise
                if target.is_about_rows(error):
                    raise SnapshotAtFault(
                        f"the restored rows contradict {entry}: {error.diag.message_primary}"
                        + (f" ({error.diag.message_detail})" if entry.is_a("FK CONSTRAINT") else "")
                    ) from error
                return None if error.sqlstate in _EXISTS_ALREADY else f"{entry}: {error.diag.message_primary}"
        return None


def not_for_scratch(entries: Iterable[ArchiveEntry], available_extensions: Iterable[str]) -> dict[ArchiveEntry, str]:
    """Return the entries that every rebuild leaves out, each with the reason."""
    available = set(available_extensions)
    reasons: dict[ArchiveEntry, str] = {}
    for entry in entries:
        kind = next((kind for kind in _NOT_FOR_SCRATCH if entry.is_a(kind)), None)
        if kind:
            reasons[entry] = _NOT_FOR_SCRATCH[kind]
        elif entry.is_a("EXTENSION") and entry.text.split(" ")[2] not in available:
            reasons[entry] = "this server does not have it"
    return reasons


def _failing_entries(command: list[str], conninfo: str) -> set[int]:
    """Run pg_restore to its end; return the numbers of the entries that failed.

    Raises:
        ToolFailed: pg_restore failed for a reason other than single entries.
    """
    from psycopg.conninfo import conninfo_to_dict, make_conninfo

    parts = conninfo_to_dict(conninfo)
    password = str(parts.pop("password", ""))
    done = subprocess.run(
        [pgtools.tool(command[0]), *command[1:], f"--dbname={make_conninfo('', **parts)}"],
        env=os.environ | {"PGPASSWORD": password},  # everybody on the machine can read arguments
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    output = done.stderr.decode(errors="replace")
    if done.returncode and "errors ignored on restore" not in output:
        lines = [line for line in output.splitlines() if "error:" in line] or output.splitlines()
        raise ToolFailed(f"pg_restore failed: {lines[-1] if lines else f'status {done.returncode}'}")
    return {int(number) for number in _FAILED.findall(output)}


class _List:
    """A list file for pg_restore beside the dump, which is deleted when the block ends."""

    def __init__(self, dump: Path, entries: Sequence[ArchiveEntry]) -> None:
        self._path = dump.with_name("entries.list")
        self._text = "".join(f"{entry.number};\n" for entry in entries)

    def __enter__(self) -> Path:
        self._path.write_text(self._text)
        return self._path

    def __exit__(self, *_: object) -> None:
        self._path.unlink()


def _unquoted(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name
