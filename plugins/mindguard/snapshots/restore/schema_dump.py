"""Restore a schema dump entry by entry, so that the caller learns which entries were left out or failed, and why."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from mindguard.errors import one_line
from mindguard.snapshots import pgtools
from mindguard.snapshots.database_errors import described
from mindguard.snapshots.pgtools import ToolFailed
from mindguard.snapshots.restore import target
from mindguard.snapshots.restore.constraints import KEY_BROKEN, count_broken_by, count_orphans
from mindguard.snapshots.storage.manifest import TableName
from mindguard.sql import literal, raw, statement

if TYPE_CHECKING:
    import psycopg

_PLAIN = ("--no-owner", "--no-privileges", "--no-tablespaces", "--no-security-labels")
_ENTRY = re.compile(r"^(\d+); \d+ \d+ (.*)$(?:\n;\tdepends on: ([\d ]*)$)?", re.MULTILINE)
_VERSION = re.compile(r"^;     Dumped (?:from database|by pg_dump) version: (\d+)", re.MULTILINE)
_FAILED = re.compile(r"from TOC entry (\d+);")
# An older server lacks a setting that pg_restore makes. Each of its workers reports that as an error of the entry that
# was restored last.
_SETTING_FAILED = re.compile(r"from TOC entry \d+;[^\n]*\n[^\n]*error:[^\n]*\nCommand was: SET \w+ = ")
_HEADING = re.compile(r"^--\n-- Name: (.*); Type: (.*); Schema: (.*); Owner: .*\n--\n", re.MULTILINE)
# Comments, settings between entries, and blank lines.
_NOT_OF_AN_ENTRY = re.compile(r"^(?:--.*|SET default_.*|\\(?:un)?restrict .*|[ \t]*)(?:\n|\Z)", re.MULTILINE)
_LAST_SEMICOLON = re.compile(r";\s*\Z")
_META_COMMAND = re.compile(r"^\\(?:un)?restrict .*\n", re.MULTILINE)
_NAME = r'(?:"(?:[^"]|"")+"|[^\s".,(;]+)'
_FOREIGN_KEY = re.compile(
    rf"^ALTER TABLE (?:ONLY )?({_NAME}\.{_NAME})\s+ADD CONSTRAINT ({_NAME}) FOREIGN KEY .*?"
    rf" REFERENCES ({_NAME})\.({_NAME})\(",
    re.MULTILINE | re.DOTALL,
)
# SQLSTATEs that mean that the object exists already, as schema public does.
_WRONG_OBJECT_TYPE = "42809"
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

    def is_a(self, *kinds: str) -> bool:
        """Return whether the entry is of one of these kinds, in pg_restore's terms."""
        return any(self.text.startswith(f"{kind} ") and not self.text.startswith(f"{kind} ATTACH ") for kind in kinds)

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


class Retried(NamedTuple):
    """What became of entries that were tried again by themselves.

    Attributes:
        failed: each entry that could not be restored, with the reason.
        denied: each entry that the role may not make, with the reason.
        notes: one line for each constraint that holds for new rows only, because restored rows contradict it.
    """

    failed: dict[ArchiveEntry, str]
    denied: dict[ArchiveEntry, str]
    notes: list[str]

    @property
    def not_made(self) -> dict[ArchiveEntry, str]:
        """Every entry that is not in the database, with the reason."""
        return self.denied | self.failed


class SchemaDump:
    """A `pg_dump --schema-only -Fc` file.

    Args:
        file: path of the file.

    Attributes:
        entries: the lines of its table of contents, in order.
        versions: major versions of the server that was dumped and of the pg_dump that dumped it.

    Raises:
        ToolFailed: pg_restore is missing, or too old for the file.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        # Only with --verbose does the list say on which others an entry depends.
        listing = pgtools.run(["pg_restore", "--list", "--verbose", str(file)]).decode()
        found = _ENTRY.findall(listing)
        self.entries = [ArchiveEntry(int(number), text) for number, text, _ in found]
        self.versions = tuple(int(major) for major in _VERSION.findall(listing))
        self._needs = {
            entry: {int(number) for number in needed.split()}
            for entry, (_, _, needed) in zip(self.entries, found, strict=True)
        }

    def depending_on(self, entries: Iterable[ArchiveEntry]) -> dict[ArchiveEntry, ArchiveEntry]:
        """Return every other entry that cannot be without one of these, with the one that it needs."""
        chosen = list(entries)
        roots = {entry.number: entry for entry in chosen}
        waiting = [entry for entry in self.entries if entry not in set(chosen)]
        depending: dict[ArchiveEntry, ArchiveEntry] = {}
        while found := [entry for entry in waiting if self._needs[entry] & roots.keys()]:
            for entry in found:
                depending[entry] = roots[entry.number] = roots[min(self._needs[entry] & roots.keys())]
            waiting = [entry for entry in waiting if entry not in depending]
        return depending

    def comments_on(self, entries: Iterable[ArchiveEntry], kind: str) -> list[ArchiveEntry]:
        """Return the comments on these objects of a kind, without those on their columns."""
        numbers = {entry.number for entry in entries}
        return [
            entry
            for entry in self.entries
            if entry.is_a("COMMENT") and f" {kind} " in entry.text and self._needs[entry] & numbers
        ]

    def comment_on_tables(
        self, connection: psycopg.Connection[dict[str, Any]], comments: Iterable[ArchiveEntry]
    ) -> None:
        """Make these comments on materialized views, in whose place there are tables now."""
        for entry in comments:
            on_view = self._script([entry]).partition("COMMENT ON MATERIALIZED VIEW ")[2]
            connection.execute(f"COMMENT ON TABLE {_META_COMMAND.sub('', on_view)}".encode())

    def causes(self, table: TableName, failed: Collection[ArchiveEntry]) -> list[ArchiveEntry]:
        """Return the failed entries for which a table is missing: those that failed for no other's sake."""
        numbers = {entry.number: entry for entry in failed}
        behind: dict[ArchiveEntry, None] = {}
        waiting = [entry for entry in failed if entry.text.startswith(f"TABLE {table.schema} {table.name} ")]
        while waiting:
            behind |= dict.fromkeys(waiting)
            needed = (numbers[number] for entry in waiting for number in self._needs[entry] & numbers.keys())
            waiting = [entry for entry in needed if entry not in behind]
        return [entry for entry in behind if not self._needs[entry] & numbers.keys()]

    def foreign_keys(self) -> list[ForeignKey]:
        """Return every foreign key, in the dump's order."""
        entries = [entry for entry in self.entries if entry.is_a("FK CONSTRAINT")]
        found = _FOREIGN_KEY.findall(self._script(entries)) if entries else []
        return [
            ForeignKey(entry, table, name, TableName(_unquoted(schema), _unquoted(relation)))
            for entry, (table, name, schema, relation) in zip(entries, found, strict=True)
        ]

    def restore(
        self,
        section: Literal["pre-data", "post-data"],
        conninfo: str,
        *,
        without: Collection[ArchiveEntry] = (),
        jobs: int = 1,
    ) -> list[ArchiveEntry]:
        """Restore a section, and return the entries that failed; `retry` finds out why.

        Only what takes time and stands alone is restored by several jobs. Indexes of partitions are attached one
        after the other: two sessions that attach at the same time do not see each other's index, and then neither
        marks the partitioned index as valid.

        Args:
            section: the section of the dump to restore.
            conninfo: libpq connection string of the database to restore into.
            without: entries to leave out.
            jobs: number of entries that pg_restore restores at the same time.

        Raises:
            ToolFailed: pg_restore could not work at all.
        """
        in_section = self._numbers_in(section)
        included = [entry for entry in self.entries if entry not in set(without) and entry.number in in_section]
        keys = [entry for entry in included if entry.is_a("FK CONSTRAINT")]
        slow = [entry for entry in included if entry.is_a("INDEX", "CONSTRAINT")]
        others = [entry for entry in included if entry not in {*keys, *slow}]
        steps = [(included, jobs)] if jobs == 1 else [(slow, jobs), (others, 1), (keys, jobs)]
        failed: set[int] = set()
        for entries, at_once in steps:
            with _List(self._file, entries) as listed:
                command = ["pg_restore", *_PLAIN, f"--section={section}", f"--jobs={at_once}", f"--use-list={listed}"]
                # Only with --verbose does pg_restore name the entry that an error belongs to.
                failed |= _failing_entries([*command, "--verbose", str(self._file)], conninfo) if entries else set()
        return [entry for entry in included if entry.number in failed]

    def retry(self, entries: Iterable[ArchiveEntry], conninfo: str, search_path: str) -> Retried:
        """Restore entries one by one, each in a transaction of its own.

        They are run under the search path of the source's sessions, because a function can name things without
        their schema. pg_restore itself always empties the path. A constraint that restored rows contradict is made
        as NOT VALID, where there is such a thing.

        Args:
            entries: the entries, in the dump's order.
            conninfo: libpq connection string of the database to restore into.
            search_path: the path, as the setting `search_path` has it.
        """
        retried = Retried({}, {}, [])
        with target.connect(conninfo, search_path=search_path) as connection:
            connection.execute("set check_function_bodies = off")
            for entry in entries:
                self._try_alone(connection, entry, retried)
        return retried

    def definitions(self, *, without: Collection[ArchiveEntry] = ()) -> dict[str, str]:
        """Return the SQL of every entry that has some, by kind, schema and name."""
        script = self._script([entry for entry in self.entries if entry not in set(without)])
        begins = list(_HEADING.finditer(script))
        ends = [each.start() for each in begins[1:]] + [len(script)]
        found: dict[str, str] = {}
        for begin, end in zip(begins, ends, strict=False):  # a script without an entry still has an end
            name, kind, schema = begin.groups()
            key = " ".join(part for part in (kind, schema, name) if part != "-")
            found[key] = found.get(key, "") + _NOT_OF_AN_ENTRY.sub("", script[begin.end() : end])
        return {key: sql for key, sql in found.items() if sql.strip()}

    def _numbers_in(self, section: str) -> set[int]:
        """Return the numbers of the entries that belong to a section.

        A comment belongs to the section of the entry before it. In a list of entries to restore, that can be one of
        another section than in the dump, and then pg_restore would pass the comment over.
        """
        listing = pgtools.run(["pg_restore", "--list", f"--section={section}", str(self._file)]).decode()
        return {int(number) for number, _, _ in _ENTRY.findall(listing)}

    def _script(self, entries: Sequence[ArchiveEntry]) -> str:
        with _List(self._file, entries) as listed:
            return pgtools.run(["pg_restore", *_PLAIN, "--file=-", f"--use-list={listed}", str(self._file)]).decode()

    def _try_alone(self, connection: psycopg.Connection[dict[str, Any]], entry: ArchiveEntry, retried: Retried) -> None:
        import psycopg

        script = self._script([entry])
        begin = _HEADING.search(script)
        statements = _META_COMMAND.sub("", script[begin.end() if begin else 0 :])
        try:
            connection.execute(statements.encode())
        except psycopg.Error as error:
            if target.is_about_server(error):
                raise
            if error.sqlstate in _EXISTS_ALREADY:
                return
            if entry.is_a("TABLE ATTACH") and error.sqlstate == _WRONG_OBJECT_TYPE:
                return  # it is a partition already; if it is not, the comparison of the schemas says so
            if error.sqlstate == "42501":
                retried.denied[entry] = described(error)
            elif target.is_about_rows(error):
                counted = error.sqlstate in KEY_BROKEN and count_broken_by(connection, error, statements)
                broken = f"restored rows contradict it: {counted or described(error)}"
                self._try_unchecked(connection, entry, statements, broken, retried)
            elif not self._made_under_path(connection, entry, statements):
                retried.failed[entry] = described(error)

    def _try_unchecked(
        self,
        connection: psycopg.Connection[dict[str, Any]],
        entry: ArchiveEntry,
        statements: str,
        broken: str,
        retried: Retried,
    ) -> None:
        """Make a constraint that rows contradict as NOT VALID, if it is of a kind that can be."""
        import psycopg

        if not entry.is_a("FK CONSTRAINT", "CHECK CONSTRAINT"):
            retried.failed[entry] = broken
            return
        unchecked = _LAST_SEMICOLON.sub(" NOT VALID;", _NOT_OF_AN_ENTRY.sub("", statements))
        try:
            connection.execute(unchecked.encode())
        except psycopg.Error as error:
            if target.is_about_server(error):
                raise
            retried.failed[entry] = broken
        else:
            why = count_orphans(connection) if entry.is_a("FK CONSTRAINT") else broken
            retried.notes.append(f"{entry}: made as NOT VALID, since {why}")

    def _made_under_path(
        self, connection: psycopg.Connection[dict[str, Any]], entry: ArchiveEntry, statements: str
    ) -> bool:
        """Try to make an index or key whose functions need this session's search path; return whether it was made.

        Since version 17 the server builds indexes under a path of its own, whatever the session's is. A path that
        belongs to the function itself comes before that, so the function gets one for as long as the index is built.
        """
        import psycopg

        if not entry.is_a("INDEX", "CONSTRAINT"):
            return False
        functions = [each for each in self.entries if each.is_a("FUNCTION")]
        # The dump names the functions of an index, but not those of an exclusion constraint.
        needed = [each for each in functions if each.number in self._needs[entry]] or functions
        names = [each.text.removeprefix("FUNCTION ").partition("(")[0] for each in needed]
        rows = connection.execute(statement("select_functions", names=literal(names))).fetchall()
        try:
            with connection.transaction():
                for row in rows:
                    connection.execute(statement("set_function_path", function=raw(row["function"])))
                connection.execute(statements.encode())
                for row in rows:
                    connection.execute(statement("drop_function_path", function=raw(row["function"])))
        except psycopg.Error as error:
            if target.is_about_server(error):
                raise
            return False
        return True


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
    done = pgtools.call(command, conninfo)
    output = done.stderr.decode(errors="replace")
    if done.returncode and "errors ignored on restore" not in output:
        # What the server says about a statement can quote a row.
        lines = [line for line in output.splitlines() if "error:" in line and "could not execute query" not in line]
        raise ToolFailed(f"pg_restore failed: {one_line(lines[-1]) if lines else f'status {done.returncode}'}")
    return {int(number) for number in _FAILED.findall(_SETTING_FAILED.sub("", output))}


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
