"""Watches a run's database sessions: it ends them rather than let the application wait, or the run outlive its time."""

from __future__ import annotations

import secrets
import threading
import time
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from mindguard.postgres_session import connect, pinned
from mindguard.snapshots.export.source_errors import SourceError, Stopped, explained
from mindguard.sql import statement

if TYPE_CHECKING:
    import psycopg

_LOOK_EVERY_S = 1.0


class Blocking(SourceError):
    """Another session waited for a lock of this run, so the run gave up; nothing was published."""


class Watch:
    """A thread with a connection of its own, which ends all sessions of a run when the run has to give up.

    The locks that a run holds stop no reader and no writer, but they stop an ALTER TABLE, behind which every later
    reader queues. So the application's reads wait at most `lock_timeout_s`, and about a second, because of a run.

    Args:
        conninfo: libpq connection string of the source.
        lock_timeout_s: seconds that another session may wait for a lock because of this run.
        max_age_s: seconds after which the run is ended, whatever it is doing.

    Raises:
        psycopg.Error: the watch could not connect.
    """

    def __init__(self, conninfo: str, *, lock_timeout_s: float, max_age_s: float) -> None:
        from psycopg.conninfo import make_conninfo

        self._run = f"mindguard-snapshot-{secrets.token_hex(6)}"
        self._lock_timeout_s = lock_timeout_s
        self._max_age_s = max_age_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watch", daemon=True)
        self.conninfo = make_conninfo(conninfo, application_name=self._run)
        """The connection string for the run's own sessions; the watch recognises them by their name."""
        self.verdict: SourceError | None = None
        """Why the run was ended; None as long as it was not."""

    def __enter__(self) -> Self:
        from psycopg.rows import dict_row

        with ExitStack() as undo:
            self._connection: psycopg.Connection[dict[str, Any]] = undo.enter_context(
                connect(self.conninfo, row_factory=dict_row, autocommit=True)
            )
            self._thread.start()
            undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        self._connection.close()

    def _watch(self) -> None:
        import psycopg

        deadline = time.monotonic() + self._max_age_s
        every = min(_LOOK_EVERY_S, self._lock_timeout_s / 4)
        try:
            while not self._ended.wait(every) and not self.verdict:
                self.verdict = self._give_up_for(overdue=time.monotonic() > deadline)
                if self.verdict:
                    self._execute("terminate_sessions")
        except Exception as error:  # noqa: BLE001 - without the watch, nobody would end a run that others wait for
            if not self._ended.is_set():
                if isinstance(error, psycopg.Error):
                    self.verdict = explained(error)
                else:
                    self.verdict = SourceError(f"the watch failed: {type(error).__name__}")
                self._end_from_elsewhere()

    def require_name(self, application_name: str) -> None:
        """Make sure that the watch recognises a session of the run by the name that the server has for it.

        Raises:
            SourceError: something between here and the server drops or replaces the name.
        """
        if not application_name.startswith(self._run):
            raise SourceError(
                "a pooler replaces application_name, so a snapshot could not be stopped from blocking the application",
                hint="connect to the server itself, or let the pooler pass application_name on",
            )

    def _give_up_for(self, *, overdue: bool) -> SourceError | None:
        if overdue:
            return Stopped(
                f"not complete after {self._max_age_s / 60:g} minutes; nothing was published",
                hint="raise snapshot.max_age_minutes or snapshot.connections",
            )
        waiter = next(iter(self._execute("select_waiters", seconds=self._lock_timeout_s)), None)
        if waiter is None:
            return None
        who = f"session {waiter['pid']} of role {waiter['role']}"
        return Blocking(
            f"{who} waited {waiter['seconds']:.0f} s for {waiter['relation']} because of this snapshot; "
            "nothing was published",
            hint="take the snapshot when no migration runs",
        )

    def _execute(self, name: str, **values: Any) -> list[dict[str, Any]]:
        with self._connection.transaction():
            self._connection.execute(pinned(10))
            return self._connection.execute(statement(name), {"run": self._run, **values}).fetchall()

    def _end_from_elsewhere(self) -> None:
        """End the run's sessions over a new connection, because the watch's own has failed."""
        import psycopg
        from psycopg.conninfo import make_conninfo

        try:
            with connect(make_conninfo(self.conninfo, connect_timeout=10), autocommit=True) as connection:
                connection.execute(statement("terminate_sessions"), {"run": self._run})
        except psycopg.Error:
            pass  # the server is not there, and so neither are its sessions
