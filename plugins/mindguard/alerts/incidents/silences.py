"""The store of silences: planned work, during which nobody is notified of the incidents that it matches."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from mindguard.alerts.incidents.models import Incident, Silence
from mindguard.alerts.incidents.silencing import active_silences, silence_of
from mindguard.alerts.incidents.transitions import settle_silence
from mindguard.alerts.matchers import Matcher, SilenceRefused
from mindguard.database.session import OpsDatabase
from mindguard.masking import fold, mask_secrets, name_of, printable

_LONGEST_WHY = 500

_LATEST_BEGINNING = timedelta(days=366)
"""The time from now within which a silence may begin. What is further away is a slip of the pen."""


class SilenceStore:
    """The silences in the operations database. It has no clock: methods take the time as `now`, aware.

    Raises:
        StoreUnavailable: by every method.
    """

    def __init__(self, database: OpsDatabase) -> None:
        self.database = database

    def add(
        self,
        matchers: Sequence[Matcher],
        *,
        starts_at: datetime,
        ends_at: datetime,
        by: str,
        why: str,
        now: datetime,
        longest: timedelta,
        including_p0: bool = False,
    ) -> Silence:
        """Store a silence, and let it begin at once if its time has come.

        Raises:
            SilenceRefused: it would last too long, begin too late, is over already, or has no reason or author.
        """
        reason = fold(mask_secrets(" ".join(printable(why).split())), _LONGEST_WHY)
        if not by.strip():
            raise SilenceRefused("a silence needs the name of who makes it", hint="give it with --by")
        if not reason:
            raise SilenceRefused("a silence needs a reason", hint="say with --why what work is planned")
        if ends_at <= starts_at:
            raise SilenceRefused("the silence would end before it begins", hint="--to must be after --from")
        if ends_at <= now:
            raise SilenceRefused("the silence would be over already", hint="--to must be in the future")
        if starts_at - now > _LATEST_BEGINNING:
            raise SilenceRefused(
                "the silence would begin in more than a year", hint="check the year of --from; it may be a year ahead"
            )
        if ends_at - starts_at > longest:
            hours = longest / timedelta(hours=1)
            raise SilenceRefused(
                f"a silence may last at most {hours:g} hours",
                hint="end it earlier, or raise alerts.silence_max_hours in the settings",
            )
        with self.database.session() as session:
            silence = Silence(
                matchers=[matcher._asdict() for matcher in matchers],
                starts_at=starts_at,
                ends_at=ends_at,
                including_p0=including_p0,
                made_by=name_of(by),
                made_at=now,
                why=reason,
            )
            session.add(silence)
            session.flush()
            _settle(session, now)
            return silence

    def list(self, *, now: datetime, everything: bool = False, limit: int = 100) -> builtins.list[Silence]:
        """Return the silences that apply or will, and those that are over if `everything`; newest first."""
        with self.database.session() as session:
            wanted = select(Silence).order_by(Silence.id.desc()).limit(limit)
            return [*session.scalars(wanted if everything else wanted.where(Silence.ends_at > now))]

    def end(self, silence_id: int | str, *, by: str, now: datetime) -> Silence:
        """End a silence now, so that people are notified of what it silenced and is still unresolved.

        Raises:
            SilenceRefused: there is no such silence, it is over already, or nobody ends it.
        """
        if not by.strip():
            raise SilenceRefused("who ends a silence is recorded", hint="give your name with --by")
        digits = str(silence_id).upper().removeprefix("S-")
        valid = digits.isascii() and digits.isdecimal() and len(digits) <= 18
        with self.database.session() as session:
            wanted = select(Silence).where(Silence.id == (int(digits) if valid else 0)).with_for_update()
            silence = session.scalar(wanted)
            if silence is None:
                raise SilenceRefused(
                    f"there is no silence {printable(str(silence_id))[:40]}", hint="see `mindguard silences list --all`"
                )
            if silence.ends_at <= now:
                raise SilenceRefused(f"{silence.name} is over already", hint="there is nothing to end")
            silence.ends_at, silence.ended_by = now, name_of(by)
            silence.starts_at = min(silence.starts_at, now)
            session.flush()
            _settle(session, now)
            return silence

    def settle(self, *, now: datetime) -> builtins.list[int]:
        """Let silences begin and end, and return the numbers of the incidents that this changed."""
        with self.database.session() as session:
            return _settle(session, now)

    def forget(self, *, before: datetime) -> None:
        """Remove silences that ended before a moment."""
        with self.database.session() as session:
            session.execute(delete(Silence).where(Silence.ends_at < before))


def _settle(session: Session, now: datetime) -> list[int]:
    silences = active_silences(session, now)
    concerned = select(Incident).where(Incident.state != "resolved").order_by(Incident.id)
    if not silences:
        concerned = concerned.where(Incident.silenced_by.is_not(None))
    numbers = [
        incident.id
        for incident in session.scalars(concerned)
        if incident.silenced_by != getattr(silence_of(incident, silences), "id", None)
    ]
    # A writer that holds one of them has seen the silences itself; if not, the next minute sees to it.
    locked = select(Incident).where(Incident.id.in_(numbers), Incident.state != "resolved").order_by(Incident.id)
    changed = locked.with_for_update(skip_locked=True).execution_options(populate_existing=True)
    settled: list[int] = []
    for incident in session.scalars(changed).all():
        settle_silence(session, incident, silence_of(incident, silences), now)
        settled.append(incident.id)
    return settled
