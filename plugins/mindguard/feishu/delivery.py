"""Reports and deliveries with what the settings name: the store, Feishu, and who is on duty."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from mindguard.alerts import pipeline
from mindguard.alerts.alert import Alert, Person
from mindguard.alerts.acknowledgement import sign
from mindguard.alerts.escalation import Step
from mindguard.alerts.finding import Finding, Recovery
from mindguard.alerts.incidents.models import Incident
from mindguard.alerts.incidents.store import IncidentStore
from mindguard.alerts.outbox import Delivered, Limits, Sender
from mindguard.alerts.pipeline import Reported
from mindguard.alerts.severity import Severity
from mindguard.connections import Resolve
from mindguard.feishu.answers import FeishuThrottled, FeishuUnreachable
from mindguard.feishu.transport import transport_of
from mindguard.settings import Settings

BUDGET_S = 50.0
"""Seconds for the delivery of each minute."""

_EVERYONE = Person("@all", feishu_id="all")


def report(
    findings: Sequence[Finding],
    recoveries: Sequence[Recovery],
    *,
    settings: Settings,
    resolve: Resolve,
    now: datetime,
    budget_s: float,
) -> Reported:
    """Store what is reported and tell people of it, within the budget; see `pipeline.report`.

    Raises:
        MindGuardError: neither the store nor Feishu took it.
    """
    clock = _running_from(now)
    return pipeline.report(
        findings,
        recoveries,
        store=lambda: IncidentStore.of(resolve(settings.connections.ops)),
        transport=lambda: transport_of(settings, resolve),
        sender=lambda store: _sender(store, settings, resolve, clock),
        on_duty=on_duty,
        ladders=ladders(settings),
        locale=settings.locale,
        now=now,
        budget_s=budget_s,
    )


def deliver(settings: Settings, resolve: Resolve, *, now: datetime, budget_s: float = BUDGET_S) -> Delivered:
    """What every minute needs: call who is next, remind, send what is due, forget what is old.

    Raises:
        StoreUnavailable: the incident store cannot be used.
    """
    store = IncidentStore.of(resolve(settings.connections.ops))
    pipeline.escalate(store, ladders(settings), on_duty, now=now)
    within = timedelta(hours=settings.alerts.review_hours)
    pipeline.remind_of_reviews(store, within=within, locale=settings.locale, now=now)
    delivered = _sender(store, settings, resolve, _running_from(now)).deliver_due(budget_s=budget_s)
    store.forget(before=now - timedelta(days=settings.alerts.resolved_keep_days))
    return delivered


def ladders(settings: Settings) -> dict[Severity, tuple[Step, ...]]:
    """Whom the settings want called, and when."""
    return {
        severity: tuple(
            Step(timedelta(minutes=step.after_minutes), step.position, step.means)
            for step in getattr(settings.escalation, severity.value)
        )
        for severity in Severity
    }


def on_duty(at: datetime, position: int) -> Sequence[Person]:
    """Whom to call. Without a rota the whole group is on duty, and is called where somebody must be."""
    return (_EVERYONE,) if position else ()


def _sender(store: IncidentStore, settings: Settings, resolve: Resolve, clock: Callable[[], datetime]) -> Sender:
    return Sender(
        store=store,
        transport=transport_of(settings, resolve),
        retry_on=(FeishuThrottled, FeishuUnreachable),
        dress=lambda alert, incident: _dressed(alert, incident, settings, resolve, clock()),
        locale=settings.locale,
        clock=clock,
        sleep=time.sleep,
        limits=Limits(storm_threshold=settings.alerts.storm_threshold),
    )


def _dressed(alert: Alert, incident: Incident, settings: Settings, resolve: Resolve, now: datetime) -> Alert:
    """The alert with the link that takes it."""
    base = settings.alerts.acknowledge_base_url
    if base and incident.state == "open":
        expires = now + timedelta(hours=settings.alerts.acknowledge_hours)
        token = sign(incident.id, settings, resolve, expires=expires)
        alert = replace(alert, acknowledge_url=f"{base.rstrip('/')}/mindguard/acknowledge?token={token}")
    return alert


def _running_from(now: datetime) -> Callable[[], datetime]:
    """A clock that shows `now` at this moment and goes on from there."""
    began = time.monotonic()
    return lambda: now + timedelta(seconds=time.monotonic() - began)
