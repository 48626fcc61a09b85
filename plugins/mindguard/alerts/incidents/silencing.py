"""Reads the silences that apply now, and finds the one for an incident. A silence that cannot be read silences nothing.

Each function works inside a transaction that a store has opened.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlalchemy.orm import Session

from mindguard.alerts.incidents.models import Incident, Silence
from mindguard.alerts.matchers import Matcher, labels_of
from mindguard.alerts.severity import Severity

log = logging.getLogger(__name__)


def active_silences(session: Session, now: datetime) -> list[Silence]:
    """Return the silences that apply at a moment, the longest first; none if they cannot be read."""
    active = select(Silence).where(Silence.starts_at <= now, Silence.ends_at > now)
    try:
        with session.begin_nested():
            return [*session.scalars(active.order_by(Silence.ends_at.desc(), Silence.id))]
    except OperationalError:
        raise
    except SQLAlchemyError:  # people are rather notified than kept in the dark
        log.exception("the silences cannot be read, so nothing is silenced")
        return []


def labels_of_incident(incident: Incident) -> dict[str, tuple[str, ...]]:
    """Return the labels that matchers are about; see `labels_of`."""
    return labels_of(
        source=incident.source,
        recovery_key=incident.recovery_key,
        subject=incident.alert.subject,
        severity=incident.severity,
        fingerprint=incident.fingerprint,
    )


def silence_of(incident: Incident, silences: Sequence[Silence]) -> Silence | None:
    """Return the silence that applies to an incident longest. A P0 needs one that includes P0."""
    if not silences:
        return None
    labels = labels_of_incident(incident)
    for silence in silences:
        if incident.severity == Severity.P0 and not silence.including_p0:
            continue
        try:
            matchers = [Matcher(each["field"], each["value"]) for each in silence.matchers]
            if matchers and all(matcher.matches(labels) for matcher in matchers):
                return silence
        except (KeyError, TypeError):
            log.exception("%s cannot be read, so it silences nothing", silence.name)
    return None
