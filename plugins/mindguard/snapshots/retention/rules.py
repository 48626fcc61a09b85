"""Retention as a pure decision: which snapshots expire, which are kept, and why. Nothing here reads or deletes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Literal

from mindguard.errors import MindGuardError
from mindguard.settings.snapshot import RetentionSettings

CLOCK_TOLERANCE = timedelta(minutes=5)
"""The largest accepted difference between two clocks; S3 itself refuses requests beyond 15 minutes."""

UNPROVEN_LIMIT = 3
"""The number of newest snapshots of which one must be proven, else drills have stopped. The newest may lack one.

If drills take several days to prove one, it is so many times larger.
"""


class ExpiryRefused(MindGuardError):
    """The clocks or the snapshots' times are doubtful, so no age is certain; everything is kept."""

    def __init__(self, reason: str, hint: str) -> None:
        super().__init__(f"nothing expires: {reason}", hint=hint)


@dataclass(frozen=True)
class Kept:
    """A snapshot in the store, as far as retention is concerned.

    Attributes:
        snapshot_id: its id.
        key: key of its manifest.
        taken_at: when it was taken, aware.
        proven: whether a restore drill found it equal to its source.
        quarantined: whether it is marked as not good.
        held: the reason of its hold, which keeps it whatever its age; None if it has no hold.
    """

    snapshot_id: str
    key: str
    taken_at: datetime
    proven: bool = False
    quarantined: bool = False
    held: str | None = None

    @property
    def good(self) -> bool:
        """Whether the snapshot counts among the newer good ones that let an older one expire."""
        return self.proven and not self.quarantined


@dataclass(frozen=True)
class Decision:
    """The decision on one snapshot: whether it is kept or expires, and the reason in one line."""

    snapshot: Kept
    action: Literal["keep", "expire"]
    reason: str


def plan_expiry(
    snapshots: Sequence[Kept],
    *,
    now: datetime,
    store_now: datetime,
    retention: RetentionSettings,
    days_per_proof: int = 1,
) -> list[Decision]:
    """Decide which snapshots expire.

    A snapshot expires if it is older than `days`, at least `minimum` newer good ones exist, and there is no hold on
    it. At most `max_expire_per_run` expire in one run, oldest first. Nothing expires while the newest snapshot is
    quarantined or none of the newest ones is proven: then something is wrong, and the older snapshots may be all
    that is left.

    Args:
        snapshots: all snapshots in the store, including quarantined ones, in any order.
        now: the present time by this machine's clock, aware.
        store_now: the present time by the store's clock, aware; it reveals a machine that is, say, 40 days ahead.
        retention: days, minimum, max_expire_per_run, max_gap_days.
        days_per_proof: days that drills take to prove one snapshot; so many times fewer snapshots are proven.

    Returns:
        One decision for every snapshot, oldest first.

    Raises:
        ExpiryRefused: the clocks disagree, a snapshot's time is in the future, or two snapshots are so far apart
            that either snapshots failed for long or both clocks have jumped.
    """
    ordered = sorted(snapshots, key=lambda each: (each.taken_at, each.snapshot_id))
    _refuse_doubtful_times(ordered, now, store_now, retention)
    stopped = _stopped(ordered, UNPROVEN_LIMIT * days_per_proof)
    decisions: list[Decision] = []
    expiring = 0
    for position, each in enumerate(ordered):
        newer_good = sum(later.good for later in ordered[position + 1 :])
        reason = _reason_to_keep(each, now, newer_good, retention) or stopped
        if reason is None and expiring == retention.max_expire_per_run:
            reason = f"next run: at most {retention.max_expire_per_run} expire in one run"
        if reason is not None:
            decisions.append(Decision(each, "keep", reason))
            continue
        expiring += 1
        decisions.append(Decision(each, "expire", f"{_age(each, now)} old, {newer_good} newer proven snapshots"))
    return decisions


def _reason_to_keep(each: Kept, now: datetime, newer_good: int, retention: RetentionSettings) -> str | None:
    if each.held is not None:
        return f"held: {each.held}"
    if now - each.taken_at <= timedelta(days=retention.days):
        return f"{_age(each, now)} old, kept for {retention.days}"
    if newer_good < retention.minimum:
        return f"{_age(each, now)} old, but only {newer_good} of {retention.minimum} newer proven snapshots"
    return None


def _stopped(ordered: Sequence[Kept], limit: int) -> str | None:
    """Return why pruning stops altogether, or None if it does not."""
    if ordered and ordered[-1].quarantined:
        return "pruning stops: the newest snapshot is quarantined"
    if not any(each.proven for each in ordered[-limit:]):
        return f"pruning stops: none of the newest {limit} snapshots is proven"
    return None


def _refuse_doubtful_times(
    ordered: Sequence[Kept], now: datetime, store_now: datetime, retention: RetentionSettings
) -> None:
    if abs(now - store_now) > CLOCK_TOLERANCE:
        raise ExpiryRefused(
            f"this machine says {now:%Y-%m-%d %H:%M:%S %Z}, the store {store_now:%Y-%m-%d %H:%M:%S %Z}",
            hint="synchronise the clock that is wrong (NTP)",
        )
    if ordered and ordered[-1].taken_at > now + CLOCK_TOLERANCE:
        raise ExpiryRefused(
            f"snapshot {ordered[-1].snapshot_id} was taken in the future, at {ordered[-1].taken_at:%Y-%m-%d %H:%M %Z}",
            hint="a clock is or was wrong; correct it",
        )
    # If both clocks jumped together, there is a gap among the newer good snapshots that would let older ones expire.
    good = [position for position, each in enumerate(ordered) if each.good][-retention.minimum :]
    times = [each.taken_at for each in ordered[good[0] if good else -1 :]]
    for before, after in pairwise([*times, now]):
        if after - before > timedelta(days=retention.max_gap_days):
            raise ExpiryRefused(
                f"between {before:%Y-%m-%d} and {after:%Y-%m-%d} no snapshot was taken",
                hint=f"if backups failed for that long, expiry resumes after {retention.minimum} new proven snapshots; "
                "if a clock has jumped, correct it",
            )


def _age(each: Kept, now: datetime) -> str:
    days = (now - each.taken_at) / timedelta(days=1)
    return f"{days:.1f} days" if days < 1 else f"{days:.0f} days"
