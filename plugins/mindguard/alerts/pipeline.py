"""What happens to a report: into the store, up the ladder, and on to Feishu; without the store straight to Feishu."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime

from sqlalchemy import ColumnElement, and_, false, or_, select
from sqlalchemy.orm import Session

from mindguard.alerts.alert import Alert, Fact, Person
from mindguard.alerts.escalation import Step, due_steps
from mindguard.alerts.finding import Finding, Recovery
from mindguard.alerts.incidents.models import Incident, Notification, TimelineEntry
from mindguard.alerts.incidents.store import IncidentStore
from mindguard.alerts.outbox.sender import Delivered, Sender
from mindguard.alerts.outbox.transport import Transport
from mindguard.alerts.severity import Severity
from mindguard.database.session import StoreUnavailable
from mindguard.texts import Locale

log = logging.getLogger(__name__)

_TEXTS: dict[str, dict[Locale, str]] = {
    "store": {"zh": "事件库", "en": "Incident store"},
    "direct": {
        "zh": "无法访问，本条直接发送，不去重、不升级",
        "en": "cannot be reached: sent directly, without memory and escalation",
    },
    "review": {"zh": "待复盘：{count} 个事件", "en": "Reviews overdue: {count} incidents"},
    "handover": {"zh": "交接班：{count} 个事件未恢复", "en": "Handover: {count} incidents unresolved"},
}

OnDuty = Callable[[datetime, int], Sequence[Person]]
"""Who is called at a moment: 0 who is on duty, 1 the next in line, and so on."""


@dataclass(frozen=True)
class Reported:
    """What came of a report.

    Attributes:
        changed: incidents that were opened or counted up.
        ended: incidents that recovered.
        delivered: what was sent at once; None where nothing could be.
        direct: the store could not be used, and the alerts were sent without it.
    """

    changed: tuple[Incident, ...] = ()
    ended: tuple[Incident, ...] = ()
    delivered: Delivered | None = None
    direct: bool = False


def store_and_deliver(
    findings: Sequence[Finding],
    recoveries: Sequence[Recovery],
    *,
    store: Callable[[], IncidentStore],
    transport: Callable[[], Transport],
    sender: Callable[[IncidentStore], Sender],
    on_duty: OnDuty,
    ladders: Mapping[Severity, Sequence[Step]],
    locale: Locale,
    now: datetime,
    budget_s: float,
) -> Reported:
    """Store, then deliver what is due as long as the budget lasts; the rest is delivered by the next one who delivers.

    Args:
        store, transport, sender: made when they are needed, since making them may fail.
        now: aware.

    Raises:
        MindGuardError: neither the store nor Feishu took the findings, or the store did not take the recoveries.
    """
    if not findings and not recoveries:
        return Reported()
    try:
        incidents = store()
        changed = incidents.record(findings, now=now)
        ended = incidents.recover(recoveries, now=now)
    except StoreUnavailable as error:
        if not findings:
            raise
        log.warning("%s; sending directly", error)
        way = transport()
        for finding in findings:
            way.send(_said_directly(finding.alert, locale), uuid=finding.alert.fingerprint, now=now)
        return Reported(direct=True)
    try:
        escalate(incidents, ladders, on_duty, now=now)
        delivered = sender(incidents).deliver_due(budget_s=budget_s)
    except Exception:  # all is stored, and the next delivery is a minute away
        log.exception("reported, but not delivered yet")
        return Reported(tuple(changed), tuple(ended))
    for why in delivered.dead:
        log.error("not delivered: %s", why)
    return Reported(tuple(changed), tuple(ended), delivered)


def _said_directly(alert: Alert, locale: Locale) -> Alert:
    said = Fact(_TEXTS["store"][locale], _TEXTS["direct"][locale], wrong=True)
    return replace(alert, facts=(*alert.facts[:1], said, *alert.facts[1:]))


def escalate(
    store: IncidentStore, ladders: Mapping[Severity, Sequence[Step]], on_duty: OnDuty, *, now: datetime
) -> list[int]:
    """Call whoever is next for each incident that nobody acknowledged in time; gives the incidents' numbers.

    After an outage only the latest of several steps that are due is taken.
    """
    called: list[int] = []
    with store.database.session() as session:
        waiting = (
            select(Incident)
            .where(Incident.state == "open", Incident.inhibited.is_(False), _has_due_step(ladders, now))
            .order_by(Incident.id)
            .with_for_update(skip_locked=True)
        )
        for incident in session.scalars(waiting):
            ladder = ladders[Severity(incident.severity)]
            steps = due_steps(
                ladder, opened_at=incident.ladder_from, state=incident.state, taken=incident.escalation_step, now=now
            )
            if steps:
                incident.escalation_step += len(steps)
                _call(session, incident, steps[-1], tuple(on_duty(now, steps[-1].position)), now)
                called.append(incident.id)
    return called


def _has_due_step(ladders: Mapping[Severity, Sequence[Step]], now: datetime) -> ColumnElement[bool]:
    """What `due_steps` says, for the database: in a storm nearly all open incidents have none."""
    return or_(
        false(),
        *(
            and_(
                Incident.severity == severity.value,
                Incident.escalation_step == taken,
                Incident.ladder_from <= now - step.after,
            )
            for severity, ladder in ladders.items()
            for taken, step in enumerate(ladder)
        ),
    )


def _call(session: Session, incident: Incident, step: Step, people: tuple[Person, ...], now: datetime) -> None:
    names = ", ".join(person.name for person in people)
    if step.position:
        incident.escalated_to = names
        session.add(TimelineEntry(incident_id=incident.id, at=now, kind="escalated", text=names))
    session.add_all(
        Notification(
            incident_id=incident.id,
            kind="escalated",
            severity=incident.severity,
            means=means,
            people=[asdict(person) for person in people],
            created_at=now,
            due_at=now,
        )
        for means in step.means
        if people or means == "card"
    )
