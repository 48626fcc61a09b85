"""Keeps what doctor found when it ran as a DAG, for its page."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from datetime import datetime, timedelta

from pydantic import TypeAdapter
from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, mapped_column

from mindguard.connections import Resolve
from mindguard.database.base import Base
from mindguard.database.session import OpsDatabase
from mindguard.doctor import examine
from mindguard.doctor.diagnosis import Diagnosis
from mindguard.doctor.texts import TEXTS, joined
from mindguard.errors import MindGuardError
from mindguard.masking import fold, mask_secrets, printable
from mindguard.settings import Settings
from mindguard.texts import Locale, within

_FINDINGS = TypeAdapter(list[Diagnosis])
_LEVELS = {"error": logging.ERROR, "warn": logging.WARNING}
_KEPT = timedelta(days=30)
_LONGEST = 1000
_MOST = 1000


class ConnectionsUnfit(MindGuardError):
    """Doctor found something that a run cannot do without."""


@dataclass(frozen=True)
class Examined:
    """What doctor found at one moment (aware)."""

    at: datetime
    findings: list[Diagnosis]


class Examination(Base):
    """The findings of one run of the DAG; `findings` holds `Diagnosis.as_dict` of each."""

    __tablename__ = "examinations"

    at: Mapped[datetime] = mapped_column(primary_key=True)
    findings: Mapped[list[dict[str, str]]]


def examine_and_keep(
    settings: Settings, resolve: Resolve, *, now: Callable[[], datetime], log: Callable[[int, str], None]
) -> list[Diagnosis]:
    """Examine everything, keep the result for the page, and return it, in the reader's language.

    Args:
        settings: the settings, which name the connections.
        resolve: looks up a connection.
        now: returns the present time, aware.
        log: is given one line for each finding, and its level: an error or a warning is logged as such.

    Raises:
        ConnectionsUnfit: something is wrong that a run cannot do without.
    """
    findings = [_bounded(each.within(settings.locale)) for each in examine(settings, resolve, now=now)[:_MOST]]
    for each in findings:
        log(_LEVELS.get(each.status, logging.INFO), f"{each.status:7} {_line(each, settings.locale)}")
    try:
        keep(OpsDatabase.of(resolve(settings.connections.ops)), Examined(now(), findings))
    except MindGuardError as error:  # it is among the findings, too
        log(logging.WARNING, f"the page does not show this, since the incident store cannot be used: {error}")
    check(findings, settings.locale)
    return findings


def _line(finding: Diagnosis, locale: Locale) -> str:
    return TEXTS.say("line", locale, what=finding.what, check=finding.check, text=finding.text)


def _bounded(finding: Diagnosis) -> Diagnosis:
    """Return the finding with texts that can be stored, are short and hold no secret."""
    return Diagnosis(finding.status, *(fold(mask_secrets(printable(each)), _LONGEST) for each in astuple(finding)[1:]))


def keep(database: OpsDatabase, examined: Examined) -> None:
    """Store what was found, and remove what is older than 30 days.

    Raises:
        StoreUnavailable: the database cannot be written.
    """
    rows = [each.as_dict() for each in examined.findings]
    with database.session() as session:
        session.execute(insert(Examination).values(at=examined.at, findings=rows).on_conflict_do_nothing())
        session.execute(delete(Examination).where(Examination.at < examined.at - _KEPT))


def latest(database: OpsDatabase) -> Examined | None:
    """Return what was found last; None if the DAG has not run within 30 days.

    Raises:
        StoreUnavailable: the database cannot be read.
    """
    with database.session() as session:
        found = session.scalar(select(Examination).order_by(Examination.at.desc()).limit(1))
        return Examined(found.at, _FINDINGS.validate_python(found.findings)) if found else None


def check(findings: Sequence[Diagnosis], locale: Locale) -> None:
    """Raise an error that names what is wrong, in the reader's language.

    Raises:
        ConnectionsUnfit: at least one finding is an error.
    """
    wrong = [_line(each, locale) for each in findings if each.status == "error"]
    if wrong:
        first = within(joined(wrong, by="sentences"), locale)
        raise ConnectionsUnfit(TEXTS.say("unfit", locale, wrong=len(wrong), checks=len(findings), first=first))
