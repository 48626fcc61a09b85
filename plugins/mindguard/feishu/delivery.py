"""Reports and deliveries with what the settings name: the store, Feishu, and who is on duty."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from mindguard.alerts import pipeline
from mindguard.alerts.alert import Alert, Person
from mindguard.alerts.escalation import LADDERS
from mindguard.alerts.finding import Finding, Recovery
from mindguard.alerts.incidents.models import Incident
from mindguard.alerts.incidents.store import IncidentStore
from mindguard.alerts.outbox import Delivered, Sender
from mindguard.alerts.pipeline import Reported
from mindguard.connections import Resolve
from mindguard.feishu.client import FeishuThrottled, FeishuUnreachable
from mindguard.feishu.transport import transport_of
from mindguard.settings import Settings

BUDGET_S = 50.0
"""Seconds for the delivery of each minute."""

_REVIEW_WITHIN = timedelta(hours=48)
_KEEP_RESOLVED = timedelta(days=400)

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
        ladders=LADDERS,
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
    pipeline.escalate(store, LADDERS, on_duty, now=now)
    pipeline.remind_of_reviews(store, within=_REVIEW_WITHIN, locale=settings.locale, now=now)
    delivered = _sender(store, settings, resolve, _running_from(now)).deliver_due(budget_s=budget_s)
    store.forget(before=now - _KEEP_RESOLVED)
    return delivered


def on_duty(at: datetime, position: int) -> Sequence[Person]:
    """Whom to call. Without a rota the whole group is on duty, and is called where somebody must be."""
    return (_EVERYONE,) if position else ()


def _sender(store: IncidentStore, settings: Settings, resolve: Resolve, clock: Callable[[], datetime]) -> Sender:
    return Sender(
        store=store,
        transport=transport_of(settings, resolve),
        retry_on=(FeishuThrottled, FeishuUnreachable),
        dress=_dress,
        locale=settings.locale,
        clock=clock,
        sleep=time.sleep,
    )


def _dress(alert: Alert, incident: Incident) -> Alert:
    return alert


def _running_from(now: datetime) -> Callable[[], datetime]:
    """A clock that shows `now` at this moment and goes on from there."""
    began = time.monotonic()
    return lambda: now + timedelta(seconds=time.monotonic() - began)
