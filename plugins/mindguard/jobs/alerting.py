"""Reports findings and delivers alerts, with the store, the bot and the rota that the settings name."""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from mindguard.alerts import pipeline
from mindguard.alerts.acknowledgement import sign
from mindguard.alerts.alert import Alert, Person, Release
from mindguard.alerts.direct import Spool, Unstored
from mindguard.alerts.escalation import ladders
from mindguard.alerts.finding import Finding, Recovery
from mindguard.alerts.incidents.flapping import Flapping
from mindguard.alerts.incidents.models import Incident
from mindguard.alerts.incidents.silences import SilenceStore
from mindguard.alerts.incidents.store import IncidentStore
from mindguard.alerts.outbox.plan import Limits
from mindguard.alerts.outbox.sender import Delivered, Sender
from mindguard.alerts.pipeline import Reported
from mindguard.alerts.releases import latest_releases
from mindguard.alerts.reminders import hand_over, remind_of_reviews
from mindguard.alerts.rota.ical import load_rota
from mindguard.alerts.rota.rota import Duty, Rota, handover_moments, next_in_line, on_duty
from mindguard.alerts.severity import Severity
from mindguard.connections import Resolve
from mindguard.database.session import StoreUnavailable
from mindguard.errors import one_line
from mindguard.feishu.answers import FeishuThrottled, FeishuUnreachable
from mindguard.feishu.transport import transport_of
from mindguard.fetch import explained
from mindguard.masking import mask_secrets
from mindguard.settings import Settings, settings_path

log = logging.getLogger(__name__)

BUDGET_S = 50.0
"""Time limit in seconds of the delivery that runs every minute."""

_HANDOVER_WITHIN = timedelta(hours=1)

_EVERYONE = Person("@all", feishu_id="all")

Answer = TypeVar("Answer")


def report(
    findings: Sequence[Finding],
    recoveries: Sequence[Recovery],
    *,
    settings: Settings,
    resolve: Resolve,
    now: datetime,
    budget_s: float,
    unstored: Sequence[Unstored] = (),
) -> Reported:
    """Store a report and notify people within the budget; see `pipeline.store_and_deliver`.

    Args:
        findings: the findings to report.
        recoveries: the recoveries to report.
        settings: the settings, which name the connections, the rota and the escalation.
        resolve: gives a connection by its id.
        now: the present time, aware.
        budget_s: seconds for the delivery.
        unstored: findings that were reported while the store was away, from other memories than this machine's disk.

    Raises:
        MindGuardError: neither the store nor Feishu accepted the report.
    """
    clock = _running_from(now)
    callers = Callers(settings)
    return pipeline.store_and_deliver(
        findings,
        recoveries,
        store=lambda: _store(settings, resolve),
        transport=lambda: transport_of(settings, resolve),
        sender=lambda store: _sender(store, settings, resolve, callers, clock),
        on_duty=callers,
        ladders=ladders(settings.escalation),
        locale=settings.locale,
        now=now,
        budget_s=budget_s,
        spool=spool_of(settings),
        unstored=unstored,
    )


def _store(settings: Settings, resolve: Resolve) -> IncidentStore:
    """Return the store; if Airflow, for instance, does not say where it is, the store counts as away."""
    try:
        return IncidentStore.of(resolve(settings.connections.ops), _flapping(settings))
    except Exception as error:
        reason = f"the incident store is not known: {_words(error)}"
        raise StoreUnavailable(reason) from error


def spool_of(settings: Settings) -> Spool:
    """Return this machine's folder for findings that the store has not taken."""
    if settings.alerts.spool_folder:
        return Spool(Path(settings.alerts.spool_folder))
    try:
        temporary = Path(tempfile.gettempdir())
    except OSError:  # nothing can be written anywhere; `Spool` then keeps nothing
        temporary = Path("/nonexistent")
    # Another installation on this machine has other settings, and another store.
    site = f"{settings_path().absolute()} {settings.connections.ops}"
    return Spool(temporary / f"mindguard-{os.geteuid()}-{hashlib.sha256(site.encode()).hexdigest()[:12]}")


def adopt_unstored(settings: Settings, resolve: Resolve, *, now: datetime) -> None:
    """Bring to the store what this machine reported while the store was away; an error is only logged."""
    try:
        spool = spool_of(settings)
        if spool.all():
            pipeline.adopt(IncidentStore.of(resolve(settings.connections.ops), _flapping(settings)), spool, now=now)
    except Exception as error:  # noqa: BLE001 - the next report or delivery tries again
        log.warning("what was reported without the incident store is not stored yet: %s", _words(error))


def _flapping(settings: Settings) -> Flapping:
    alerts = settings.alerts
    return Flapping(timedelta(minutes=alerts.flap_window_minutes), timedelta(minutes=alerts.flap_card_minutes))


def deliver(settings: Settings, resolve: Resolve, *, now: datetime, budget_s: float = BUDGET_S) -> Delivered:
    """Do the work of every minute: begin and end silences, call people, remind, send what is due, forget what is old.

    Args:
        settings: the settings, which name the connections, the rota and the escalation.
        resolve: gives a connection by its id.
        now: the present time, aware.
        budget_s: seconds for the delivery.

    Raises:
        StoreUnavailable: the incident store cannot be used.
    """
    store = IncidentStore.of(resolve(settings.connections.ops))
    callers = Callers(settings)
    adopt_unstored(settings, resolve, now=now)

    def digest_of_handover() -> None:
        if moment := callers.last_handover(now):
            hand_over(store, moment, callers.on_duty(now), locale=settings.locale, now=now)

    within = timedelta(hours=settings.alerts.review_hours)
    failures: list[Exception] = []
    silences = SilenceStore(store.database)
    for before in (
        lambda: silences.settle(now=now),
        lambda: pipeline.escalate(store, ladders(settings.escalation), callers, now=now),
        digest_of_handover,
        lambda: remind_of_reviews(store, within=within, locale=settings.locale, now=now),
    ):
        try:
            before()
        except StoreUnavailable:
            raise
        except Exception as error:  # what is due is sent first
            log.exception("a step before the delivery failed")
            failures.append(error)
    delivered = _sender(store, settings, resolve, callers, _running_from(now)).deliver_due(budget_s=budget_s)
    if failures:
        raise failures[0]
    old = now - timedelta(days=settings.alerts.resolved_keep_days)
    store.forget(before=old)
    silences.forget(before=old)
    return delivered


class Callers:
    """Whom to call according to the settings' rota, which is read at the first use.

    Without a rota, or if it cannot be read, the whole group is called when somebody must be.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.unreadable = False
        """Whether the settings have a rota that could not be read, or that could not answer."""

    @cached_property
    def _rota(self) -> Rota | None:
        return self._asked(lambda: load_rota(self._settings))

    def _asked(self, ask: Callable[[], Answer]) -> Answer | None:
        """Return the rota's answer. Whatever is wrong with the rota must not cost anybody an alert."""
        if self.unreadable:
            return None
        try:
            return ask()
        except Exception as error:  # noqa: BLE001 - calendars are written by others
            log.warning("the rota cannot be used, so the whole group is called: %s", _words(error))
            self.unreadable = True
            return None

    def __call__(self, at: datetime, position: int) -> tuple[Person, ...]:
        """Return whom to call at a moment (aware): 0 is the person on duty, 1 the next in line, and so on."""
        rota = self._rota
        line = self._asked(lambda: next_in_line(rota, at, position)) if rota else None
        if line is None:
            return (_EVERYONE,) if position or self.unreadable else ()
        return line or (_EVERYONE,)

    def on_duty(self, at: datetime) -> tuple[Person, ...]:
        """Return everybody who is on duty at a moment (aware): primary first, then backups."""
        duty = self._duty(at)
        return duty.people if duty else ()

    def nobody_left(self, at: datetime) -> bool:
        """Return whether the rota cannot be used, or knows nobody who is left of the duty at a moment (aware)."""
        duty = self._duty(at)
        return self.unreadable or (duty is not None and duty.vacant)

    def _duty(self, at: datetime) -> Duty | None:
        rota = self._rota
        return self._asked(lambda: on_duty(rota, at)) if rota else None

    def last_handover(self, now: datetime) -> datetime | None:
        """Return when somebody took over within the last hour; None otherwise, as a later digest would be useless."""
        rota = self._rota
        end = now + timedelta(seconds=1)
        moments = self._asked(lambda: handover_moments(rota, now - _HANDOVER_WITHIN, end)) if rota else None
        return moments[-1] if moments else None


def _words(error: Exception) -> str:
    return one_line(mask_secrets(explained(error)))


def _sender(
    store: IncidentStore, settings: Settings, resolve: Resolve, callers: Callers, clock: Callable[[], datetime]
) -> Sender:
    enrichment = _Enrichment(settings, resolve, callers, clock)
    return Sender(
        store=store,
        transport=transport_of(settings, resolve),
        retry_on=(FeishuThrottled, FeishuUnreachable),
        enrich=enrichment,
        locale=settings.locale,
        clock=clock,
        sleep=time.sleep,
        limits=Limits(storm_threshold=settings.alerts.storm_threshold),
    )


class _Enrichment:
    """Adds to an alert when people learned of it, who is on duty, the latest releases, and the link to take it."""

    def __init__(self, settings: Settings, resolve: Resolve, callers: Callers, clock: Callable[[], datetime]) -> None:
        self._settings = settings
        self._resolve = resolve
        self._callers = callers
        self._clock = clock

    @cached_property
    def _releases(self) -> tuple[Release, ...]:
        return latest_releases(self._settings, self._resolve)

    def __call__(self, alert: Alert, incident: Incident) -> Alert:
        if incident.state == "resolved":
            return alert
        alert = replace(alert, known_at=incident.ladder_from)
        additions: dict[str, Callable[[], Alert]] = {
            "people": lambda: replace(alert, duty=self._duty(alert)),
            "releases": lambda: replace(alert, releases=self._releases),
            "link to take it": lambda: replace(alert, acknowledge_url=self._acknowledge_url(incident)),
        }
        for what, add in additions.items():
            try:
                alert = add()
            except Exception as error:  # noqa: BLE001 - the alert matters more than what is added to it
                log.warning("%s has no %s on its card: %s", incident.name, what, _words(error))
        return alert

    def _duty(self, alert: Alert) -> tuple[Person, ...]:
        now = self._clock()
        people = self._callers.on_duty(now)
        # A trend need not wake everybody.
        return (_EVERYONE,) if self._callers.nobody_left(now) and alert.severity is not Severity.P2 else people

    def _acknowledge_url(self, incident: Incident) -> str:
        settings = self._settings.alerts
        if not settings.acknowledge_base_url or incident.state != "open":
            return ""
        expires = self._clock() + timedelta(hours=settings.acknowledge_hours)
        token = sign(incident.id, self._settings, self._resolve, expires=expires)
        return f"{settings.acknowledge_base_url.rstrip('/')}/mindguard/acknowledge?token={token}"


def _running_from(now: datetime) -> Callable[[], datetime]:
    """Return a clock that shows `now` at this moment and runs on from there."""
    started = time.monotonic()
    return lambda: now + timedelta(seconds=time.monotonic() - started)
