"""The path of a report: into the store, up the escalation ladder, to Feishu; without the store directly to Feishu."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime

from sqlalchemy import ColumnElement, and_, false, or_, select
from sqlalchemy.orm import Session

from mindguard.alerts.alert import Alert, Fact, Person
from mindguard.alerts.direct import Spool, Told, Unstored, replaces
from mindguard.alerts.escalation import Step, due_steps
from mindguard.alerts.finding import Finding, Recovery
from mindguard.alerts.incidents.models import Incident, Notification, TimelineEntry
from mindguard.alerts.incidents.silences import SilenceStore
from mindguard.alerts.incidents.store import IncidentStore
from mindguard.alerts.instances import joined, joined_alert
from mindguard.alerts.outbox.sender import Delivered, Sender
from mindguard.alerts.outbox.transport import Transport
from mindguard.alerts.severity import Severity
from mindguard.alerts.texts import TEXTS
from mindguard.database.session import StoreUnavailable
from mindguard.texts import Locale

log = logging.getLogger(__name__)

OnDuty = Callable[[datetime, int], Sequence[Person]]
"""A function that returns whom to call at a moment: 0 is the person on duty, 1 the next in line, and so on."""


@dataclass(frozen=True)
class Reported:
    """The result of a report.

    Attributes:
        changed: incidents that were opened, or to which a finding was added.
        ended: incidents that recovered.
        delivered: the result of the delivery; None if nothing could be sent.
        direct: the findings that the store could not take, and how people were told of them.
    """

    changed: tuple[Incident, ...] = ()
    ended: tuple[Incident, ...] = ()
    delivered: Delivered | None = None
    direct: tuple[Unstored, ...] = ()


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
    spool: Spool,
    unstored: Sequence[Unstored] = (),
) -> Reported:
    """Store a report, then deliver what is due while the budget lasts. The next delivery sends the rest.

    Args:
        findings: the findings to report.
        recoveries: the recoveries to report.
        store: creates the store when it is needed, since creating it may fail.
        transport: creates the transport for alerts that are sent without the store.
        sender: creates the sender for a store.
        on_duty: returns whom to call.
        ladders: the escalation steps of each severity.
        locale: language of the messages.
        now: the present time, aware.
        budget_s: seconds for the delivery.
        spool: the folder for what the store does not take.
        unstored: findings that were reported while the store was away, from other memories than the spool.

    Raises:
        MindGuardError: neither the store nor Feishu took the findings, or the store did not take the recoveries.
    """
    if not findings and not recoveries and not unstored:
        return Reported()
    try:
        incidents = store()
        adopted = adopt(incidents, spool, unstored, now=now)
        changed = [*adopted, *incidents.record(findings, now=now)]
        ended = incidents.recover(recoveries, now=now)
    except StoreUnavailable as error:
        if not findings and not unstored:
            raise
        log.warning("%s; sending directly", error)
        everything = [*unstored, *(Unstored(finding) for finding in findings)]
        return Reported(direct=_send_directly(everything, transport, spool, locale, now))
    try:
        SilenceStore(incidents.database).settle(now=now)
    except Exception:  # whoever is called too much is better off than who is not called
        log.exception("the silences were not brought up to date")
    try:
        escalate(incidents, ladders, on_duty, now=now)
        delivered = sender(incidents).deliver_due(budget_s=budget_s)
    except Exception:  # everything is stored, and the next delivery comes within a minute
        log.exception("the report is stored, but not delivered yet")
        return Reported(tuple(changed), tuple(ended))
    for reason in delivered.dead:
        log.error("not delivered: %s", reason)
    return Reported(tuple(changed), tuple(ended), delivered)


def adopt(store: IncidentStore, spool: Spool, unstored: Sequence[Unstored] = (), *, now: datetime) -> list[Incident]:
    """Bring to the store what was reported while it was away, and return the incidents that changed.

    Raises:
        StoreUnavailable: the store cannot be used.
    """
    changed: list[Incident] = []
    for each in sorted([*spool.all(), *unstored], key=lambda each: each.finding.order):
        try:
            if incident := store.adopt(each, now=now):
                changed.append(incident)
        except Exception as error:  # noqa: BLE001 - what one finding says must not keep the others from the store
            with store.database.session():
                pass  # raises StoreUnavailable unless it is this finding that the store refuses
            log.warning("the incident store does not take a finding that was kept for it: %s", error)
        else:
            spool.remove(each)
    return changed


def _send_directly(
    unstored: Sequence[Unstored], transport: Callable[[], Transport], spool: Spool, locale: Locale, now: datetime
) -> tuple[Unstored, ...]:
    """Send what nobody was told yet, and return how people were told of each finding.

    Raises:
        Exception: why the first finding that could not be sent was not.
    """
    # An event without an identity may have happened again since the last report of it.
    known = [spool.find(each.finding) if each.finding.occurrence else None for each in unstored]
    results = [_with_what_is_known(each, before) for each, before in zip(unstored, known, strict=True)]
    for each in results:
        spool.keep(each)  # before anything is sent, since this process may be killed while it sends
    direct = transport()
    failures: list[Exception] = []
    for number, (each, before) in enumerate(zip(results, known, strict=True)):
        if each.told:
            continue
        try:
            told = _tell(each.finding.alert, before.told if before else None, direct, locale, now)
        except Exception as failure:  # noqa: BLE001 - the other alerts are sent first
            failures.append(failure)
        else:
            results[number] = Unstored(each.finding, told)
            spool.keep(results[number])
    if failures:
        raise failures[0] from None
    return tuple(results)


def _with_what_is_known(reported: Unstored, known: Unstored | None) -> Unstored:
    """Return the better report of one event; `told` is None if people must be told of it, perhaps again."""
    if known is None:
        return reported
    before, after = known.finding.alert, reported.finding.alert
    if before.instances and after.instances:  # of a mapped task, each instance reports by itself
        alert = joined_alert(before, after, joined(before.instances, after.instances))
        worse = min(before.severity, after.severity, key=lambda each: each.value)
        told = None if worse != before.severity else known.told or reported.told
        return Unstored(replace(reported.finding, alert=replace(alert, severity=worse)), told)
    if replaces(before, after):
        return known
    if replaces(after, before):
        return reported
    return Unstored(reported.finding, reported.told or known.told)


def _tell(alert: Alert, told: Told | None, direct: Transport, locale: Locale, now: datetime) -> Told:
    """Send an alert; if people have seen it without its error, and the channel allows it, change that card."""
    shown = _with_notice(alert, locale)
    if told and told.message_id and direct.updates:
        sent = direct.update(told.message_id, shown, now=now)
    else:
        sent = direct.send(shown, uuid=alert.fingerprint, now=now)
    return Told(now, sent.message_id or "", sent.form)


def _with_notice(alert: Alert, locale: Locale) -> Alert:
    """Return the alert with the notice that it was sent without the store, as its second fact."""
    notice = Fact(TEXTS.say("store", locale), TEXTS.say("sent_directly", locale), wrong=True)
    return replace(alert, facts=(*alert.facts[:1], notice, *alert.facts[1:]))


def escalate(
    store: IncidentStore, ladders: Mapping[Severity, Sequence[Step]], on_duty: OnDuty, *, now: datetime
) -> list[int]:
    """Call the next person for each incident that nobody acknowledged in time, and return the incidents' numbers.

    If several steps are due after an outage, only the latest of them is taken.
    """
    called: list[int] = []
    with store.database.session() as session:
        waiting = (
            select(Incident)
            .where(
                Incident.state == "open",
                Incident.inhibited.is_(False),
                Incident.silenced_by.is_(None),
                _has_due_step(ladders, now),
            )
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
    """Return the condition of `due_steps` for the database: in a storm, hardly any open incident has a due step."""
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
        session.add(TimelineEntry.of(incident.id, "escalated", at=now, text=names))
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
