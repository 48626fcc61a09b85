"""Whether equal tuple digests still mean equal rows, and which values are read again all the same (docs/adr/0036)."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from mindguard.snapshots.export.plan import KeyRange
from mindguard.snapshots.export.source_errors import TuplesContradicted
from mindguard.snapshots.export.source_table import SourceTable
from mindguard.snapshots.storage.manifest import Part, SourceIdentity, Table

_EPOCH = 1 << 32
# A run that starts a little earlier than the one of a week ago must not take the part for younger than it is.
_SLACK = timedelta(hours=6)


def broken_history(before: SourceIdentity, now: SourceIdentity) -> str | None:
    """Return why a transaction number need not mean now what it meant then, in English; None if it does.

    What is not known counts as changed. A data directory cannot be replaced while the server runs; so its start is part
    of its identity. A crash of one of its processes leaves the start as it was: see `wait_until_durable`.
    """
    for name, what in (
        ("system_identifier", "another server"),
        ("started_at", "the server was started again"),
        ("timeline", "another timeline of the write-ahead log"),
        ("server_version", "another version of PostgreSQL"),
        ("database", "another database"),
    ):
        then, there = getattr(before, name), getattr(now, name)
        if then is None or there is None:
            return f"{name} is not known"
        if then != there:
            return what
    if before.next_transaction is None or now.next_transaction is None:
        return "next_transaction is not known"
    if now.next_transaction < before.next_transaction or _position(now.lsn) < _position(before.lsn):
        return "the server went back to an earlier state"
    if now.next_transaction // _EPOCH != before.next_transaction // _EPOCH:
        return "transaction numbers have begun again from the start"
    return None


def _position(lsn: str) -> int:
    high, _, low = lsn.partition("/")
    return (int(high, 16) << 32) + int(low, 16)


def check_history(contradicted: str | None) -> None:
    """Raise TuplesContradicted if a snapshot found values of this table changed although its tuple digest was not."""
    if contradicted:
        raise TuplesContradicted(contradicted)


def comparable_parts(before: Table, table: SourceTable) -> Mapping[KeyRange, Part]:
    """Return the parts of an earlier snapshot whose rows are the table's if their tuple digest is, by key range."""
    state = table.comparable_state
    same = (
        state is not None
        and before.read_state == state.state
        and (before.columns, before.kind, before.inherited) == (table.columns, table.kind, table.inherited)
    )
    return {KeyRange(part.lower, part.upper): part for part in before.parts if part.tuples} if same else {}


@dataclass(frozen=True)
class Recheck:
    """Decides when the values of an unchanged part are read again: each at the latest after some days.

    Attributes:
        now: the present time, aware.
        days: that number of days. The parts are spread evenly over them, so that every day reads about the same.
    """

    now: datetime
    days: int

    def is_due(self, part: Part) -> bool:
        """Return whether the part's values are to be read now. A time that is unknown or lies ahead makes it due."""
        if part.values_read_at is None or part.values_read_at > self.now:
            return True
        age = self.now - part.values_read_at
        if age >= timedelta(days=self.days) - _SLACK:
            return True
        turn = zlib.crc32(part.key.encode()) % self.days
        return self.now.toordinal() % self.days == turn and age >= timedelta(days=1) - _SLACK
