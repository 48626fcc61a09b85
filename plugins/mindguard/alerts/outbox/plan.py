"""Plans which messages are sent when: within Feishu's limits, P0 first, and a storm as one digest. Pure.

Source: Feishu's limits for a bot, 5 requests a second and 100 a minute, and its advice to avoid the full and half hour.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from mindguard.alerts.severity import Severity

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)


@dataclass(frozen=True)
class Limits:
    """The limits of sending.

    Attributes:
        per_second, per_minute: requests of all kinds together.
        reserved_per_second, reserved_per_minute: the part of them that is kept for P0.
        storm_threshold: more cards than this within a minute become a digest.
        digest_gap, urgent_digest_gap: least time between two digests; the latter for P0.
        quiet: time after each full and half hour in which only P0 is sent.
    """

    per_second: int = 5
    per_minute: int = 100
    reserved_per_second: int = 1
    reserved_per_minute: int = 20
    storm_threshold: int = 10
    digest_gap: timedelta = timedelta(seconds=60)
    urgent_digest_gap: timedelta = timedelta(seconds=4)
    quiet: timedelta = timedelta(seconds=10)


@dataclass(frozen=True)
class Pending:
    """A notification that is due.

    Attributes:
        id: number of the notification.
        severity: the severity of its incident.
        created_at: when it was created, aware.
        card: whether it makes a new card; otherwise it changes one, or calls people to one.
        group: notifications of the same group need only one request. Empty: it has a request of its own.
        batch: set if it was claimed before, together with the others of this batch, by a sender that died.
        own_digest: whether it is a digest itself.
    """

    id: int
    severity: Severity
    created_at: datetime
    card: bool = True
    group: str = ""
    batch: str = ""
    own_digest: bool = False


@dataclass(frozen=True)
class Past:
    """A request that was made; `at` is aware."""

    at: datetime
    severity: Severity
    form: str


@dataclass(frozen=True)
class Send:
    """One request for one message: a new card, a change of one, a call, or a digest that is ready."""

    ids: tuple[int, ...]
    severity: Severity
    form: Literal["card", "update", "digest"] = "card"
    batch: str = ""


@dataclass(frozen=True)
class Gather:
    """One digest of all these notifications."""

    ids: tuple[int, ...]
    severity: Severity
    batch: str = ""


@dataclass(frozen=True)
class Wait:
    """Send nothing more before this moment (aware)."""

    until: datetime


Action = Send | Gather | Wait


def plan_delivery(
    pending: Sequence[Pending], past: Sequence[Past], now: datetime, limits: Limits = Limits()
) -> list[Action]:
    """Return the messages to send now, most urgent first; a `Wait` at the end says when the rest may follow.

    Args:
        pending: notifications that are due.
        past: requests of the last minute or more.
        now: the present time, aware.
        limits: the limits of sending.
    """
    made = list(past)
    actions: list[Action] = []
    waits: list[datetime] = []
    for action, not_before in _messages(pending, past, now, limits):
        free_at = max(not_before, _free_at(made, now, action.severity, limits))
        if free_at > now:
            waits.append(free_at)
            continue
        made.append(Past(now, action.severity, "digest" if isinstance(action, Gather) else action.form))
        actions.append(action)
    return [*actions, Wait(min(waits))] if waits else actions


def _messages(
    pending: Sequence[Pending], past: Sequence[Past], now: datetime, limits: Limits
) -> Iterator[tuple[Send | Gather, datetime]]:
    """Yield each message with the moment before which it must not be sent, most urgent first."""
    for urgent in (True, False):
        due = [each for each in pending if (each.severity is Severity.P0) == urgent]
        quiet_until = now if urgent else _quiet_until(now, limits)
        fresh = [each for each in due if each.card and not each.batch]
        recent = [each for each in past if (each.severity is Severity.P0) == urgent and now - each.at < MINUTE]
        cards = sum(each.form == "card" for each in recent)
        storm = len(fresh) > 1 and len(fresh) + cards > limits.storm_threshold
        singles = [each for each in due if each not in fresh] if storm else due
        # What was tried before comes after what was not: one message that fails must not hold up its equals.
        for send in sorted(_grouped(singles), key=lambda each: (each.severity, bool(each.batch), each.ids)):
            yield send, quiet_until
        if storm:
            gap = limits.urgent_digest_gap if urgent else limits.digest_gap
            last = max((each.at for each in recent if each.form == "digest"), default=None)
            worst = min(each.severity for each in fresh)
            gather = Gather(tuple(each.id for each in fresh), worst)
            yield gather, max(quiet_until, last + gap) if last else quiet_until


def _grouped(pending: Iterable[Pending]) -> list[Send | Gather]:
    """Return the messages for notifications outside a storm, one for each batch, group or single notification."""
    together: dict[str, list[Pending]] = defaultdict(list)
    for each in pending:
        together[each.batch or each.group or f"#{each.id}"].append(each)
    messages: list[Send | Gather] = []
    for group in together.values():
        ids, severity = tuple(each.id for each in group), min(each.severity for each in group)
        batch = group[0].batch
        if batch and len(ids) > 1 and group[0].card:
            messages.append(Gather(ids, severity, batch))
        else:
            form: Literal["card", "update", "digest"] = "card" if group[0].card else "update"
            messages.append(Send(ids, severity, "digest" if group[0].own_digest else form, batch))
    return messages


def _free_at(made: Sequence[Past], now: datetime, severity: Severity, limits: Limits) -> datetime:
    """Return when Feishu's limits allow the next request."""
    urgent = severity is Severity.P0
    free_at = now
    for span, most, reserved in (
        (SECOND, limits.per_second, limits.reserved_per_second),
        (MINUTE, limits.per_minute, limits.reserved_per_minute),
    ):
        allowed = most if urgent else most - reserved
        within = sorted(each.at for each in made if now - each.at < span)
        if len(within) >= allowed:
            free_at = max(free_at, within[-allowed] + span)
    return free_at


def _quiet_until(now: datetime, limits: Limits) -> datetime:
    """Return the end of the quiet time after a full or half hour; outside of it, `now`."""
    half_hour = now.replace(minute=now.minute // 30 * 30, second=0, microsecond=0)
    return max(now, half_hour + limits.quiet) if now < half_hour + limits.quiet else now
