"""One chDB engine, its sessions, and its errors in the form in which a ClickHouse server would send them."""

from __future__ import annotations

import fcntl
import json
import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import chdb

STOP_GRACE_S = 10.0

BLANK = rb"(?:\s|--[^\n]*\n|/\*.*?\*/)*+"
_RETURNS_ROWS = re.compile(
    BLANK + rb"\(*+\s*+(SELECT|WITH|FROM|SHOW|DESC|DESCRIBE|EXISTS|EXPLAIN|CHECK)\b",
    re.IGNORECASE | re.DOTALL,
)
_CHANGES_SESSION = re.compile(BLANK + rb"(SET|USE)\b", re.IGNORECASE | re.DOTALL)
_TRAILING_FORMAT = re.compile(rb"\bFORMAT\s+(\w+)(?:\s+SETTINGS\b[^;]*)?\s*;?\s*\Z", re.IGNORECASE)
_ERROR_TEXT = re.compile(r"Code: (\d+)\..*", re.DOTALL)


class ClickHouseError(Exception):
    """An error in the form in which a ClickHouse server would send it: its number and its text."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code

    @classmethod
    def named(cls, code: int, name: str, message: str) -> ClickHouseError:
        """Make the error of this code and name."""
        return cls(code, f"Code: {code}. DB::Exception: {message} ({name})")

    @classmethod
    def from_engine(cls, error: Exception) -> ClickHouseError:
        """Translate an error of chDB, which raises plain RuntimeErrors with the code in their text."""
        found = _ERROR_TEXT.search(str(error))
        return cls(int(found[1]), found[0].strip()) if found else cls.named(1001, "STD_EXCEPTION", str(error))


class StartupError(Exception):
    """The front cannot start; the text is one line for people."""


def _quoted(text: str, quote: str = "'") -> str:
    return quote + text.replace("\\", "\\\\").replace(quote, "\\" + quote) + quote


@dataclass
class Answer:
    """The answer to a statement: the bytes, their format (None for a statement without a result) and the counters."""

    body: bytes
    format: str | None
    summary: dict[str, int]


class Session:
    """One engine handle: its temporary tables, its settings and its current database.

    Args:
        path: the engine's data folder.
        lasts: whether further requests may use it, so that the settings of one must not reach the next.
    """

    def __init__(self, path: str, *, lasts: bool = True) -> None:
        self._connection = chdb.connect(path)
        self._lasts = lasts
        self.lock = threading.Lock()
        self.expires_at = 0.0  # time.monotonic()
        self._home = self._database = "default"
        self._applied: dict[str, str] = {}
        self._former: dict[str, str | None] = {}

    def close(self) -> None:
        """Close the handle."""
        self._connection.close()

    def _query(self, sql: str, form: str = "TabSeparated", params: Mapping[str, str] | None = None) -> Any:
        try:
            return self._connection.query(sql, form, params=dict(params or {}))
        except (RuntimeError, chdb.ChdbError) as error:
            raise ClickHouseError.from_engine(error) from None

    def prepare(self, database: str | None, settings: dict[str, str], statement: bytes) -> None:
        """Give one request its database and settings, which hold for that request and not for the session.

        They are reset only when a request brings other ones, since a client sends the same ones with every request.
        """
        if _CHANGES_SESSION.match(statement):
            settings = {}  # what SET changes must be the session's own value
        if settings != self._applied:
            self._take_back()
            self._apply(settings)
        wanted = database or self._home
        if wanted != self._database:
            self._query(f"USE {_quoted(wanted, '`')}")
            self._database = wanted

    def _apply(self, settings: dict[str, str]) -> None:
        if not settings:
            return
        if self._lasts:  # to ask for the former values costs more than most queries
            names = ", ".join(map(_quoted, settings))
            rows = self._query(
                f"SELECT name, value FROM system.settings WHERE changed AND name IN ({names})", "JSONCompact"
            )
            self._former = dict.fromkeys(settings) | dict(json.loads(rows.bytes())["data"])
        self._applied = dict(settings)
        try:
            changes = (f"{_quoted(name, '`')} = {_quoted(value)}" for name, value in settings.items())
            self._query(f"SET {', '.join(changes)}")
        except ClickHouseError:
            self._take_back()
            raise

    def _take_back(self) -> None:
        for name, value in self._former.items():
            with suppress(ClickHouseError):  # a setting that was refused cannot be reset either
                self._query(f"SET {_quoted(name, '`')} = {'DEFAULT' if value is None else _quoted(value)}")
        self._applied, self._former = {}, {}

    def run(self, statement: bytes, default_format: str, params: Mapping[str, str]) -> Answer:
        """Run one statement, with its data (if any) inline."""
        result = self._query(statement.decode(), default_format, params)
        body: bytes = result.bytes() or b""
        named = _TRAILING_FORMAT.search(statement)
        form = named[1].decode() if named else default_format
        if _CHANGES_SESSION.match(statement):
            self._home = self._database = self._query("SELECT currentDatabase()", "TSVRaw").bytes().decode()[:-1]
        return Answer(
            body,
            form if body or _RETURNS_ROWS.match(statement) else None,
            {
                "read_rows": result.storage_rows_read(),
                "read_bytes": result.storage_bytes_read(),
                "written_rows": result.rows_written(),
                "written_bytes": result.bytes_written(),
                "result_rows": result.rows_read(),
                "result_bytes": len(body),
                "elapsed_ns": int(result.elapsed() * 1e9),
            },
        )

    def insert(self, statement: bytes, form: str, chunks: Iterator[bytes]) -> Answer:
        """Stream data into an INSERT statement, which is given without its FORMAT clause."""
        try:
            with self._connection.send_insert(statement.decode(), form) as inserter:
                for chunk in chunks:
                    inserter.append(chunk)
                done = inserter.finish()
        except RuntimeError as error:
            raise ClickHouseError.from_engine(error) from None
        rows, size = done.rows_written, done.bytes_written
        return Answer(b"", None, {"written_rows": rows, "written_bytes": size, "elapsed_ns": int(done.elapsed * 1e9)})


class Engine:
    """The one chDB engine of this process, and its sessions.

    Args:
        path: data folder, made when it is missing.

    Raises:
        StartupError: another process has the data folder open.
    """

    def __init__(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self._path = str(path.resolve())
        _refuse_locked(path)
        try:
            self._anchor = Session(self._path)  # the engine lives as long as one handle is open
        except RuntimeError as error:
            raise StartupError(f"chDB cannot open {path}: {' '.join(str(error).split())}") from None
        row = self._anchor.run(b"SELECT timezone(), version()", "TabSeparated", {}).body.decode()
        self.timezone, self.version = row.rstrip("\n").split("\t")
        self._guard = threading.Condition()
        self._sessions: dict[str, Session] = {}
        self._in_flight = 0
        self._closed = False

    @contextmanager
    def session(self, session_id: str | None, timeout_s: float, *, must_exist: bool) -> Iterator[Session]:
        """Give the named session to one caller, or a fresh one that ends with the request.

        Args:
            session_id: name of the session; None for a fresh one.
            timeout_s: seconds after its last use at which a named session ends.
            must_exist: refuse to make a session of this name.

        Raises:
            ClickHouseError: 373 when the session is in use, 372 when it must exist and does not.
        """
        with self._guard:
            if self._closed:
                raise ClickHouseError.named(236, "ABORTED", "The server is stopping")
            self._in_flight += 1
        try:
            session = self._enter(session_id, must_exist=must_exist)
            try:
                yield session
            finally:
                session.expires_at = time.monotonic() + timeout_s
                session.lock.release()
                if session_id is None:
                    session.close()
        finally:
            with self._guard:
                self._in_flight -= 1
                self._guard.notify_all()

    def _enter(self, session_id: str | None, *, must_exist: bool) -> Session:
        with self._guard:
            self._expire()
            session = self._sessions.get(session_id or "")
            if session is None:
                if must_exist:
                    raise ClickHouseError.named(372, "SESSION_NOT_FOUND", f"Session {session_id} not found")
                session = Session(self._path, lasts=session_id is not None)
                if session_id is not None:
                    self._sessions[session_id] = session
            if not session.lock.acquire(blocking=False):
                raise ClickHouseError.named(
                    373, "SESSION_IS_LOCKED", f"Session {session_id} is locked by another query"
                )
            return session

    def _expire(self) -> None:
        now = time.monotonic()
        for name, session in list(self._sessions.items()):
            if session.expires_at < now and session.lock.acquire(blocking=False):
                del self._sessions[name]
                session.close()

    def close(self) -> bool:
        """Refuse new queries and close the engine.

        Returns:
            False when queries still run after `STOP_GRACE_S`; the engine then stays open.
        """
        with self._guard:
            self._closed = True
            if not self._guard.wait_for(lambda: self._in_flight == 0, timeout=STOP_GRACE_S):
                return False
        for session in [*self._sessions.values(), self._anchor]:
            session.close()
        return True


def _refuse_locked(path: Path) -> None:
    """Ask for the lock that the engine will take: the engine's own error does not say that another process has it."""
    with suppress(FileNotFoundError), (path / "status").open("rb") as status:
        try:
            fcntl.flock(status, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StartupError(f"{path} is open in another process; stop that one first") from None
