"""Commands on how long snapshots are kept: `mindguard snapshot expire | hold | release`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from mindguard.cli_common import AsJson, SnapshotId, print_json, print_table, settings_and_store


def register(app: typer.Typer) -> None:
    """Add the commands to `mindguard snapshot`."""
    app.command()(expire)
    app.command()(hold)
    app.command()(release)


def expire(
    apply: Annotated[bool, typer.Option("--apply", help="Do it; without, the plan is only shown.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show which snapshots expire and why; with --apply remove them and what no snapshot needs any more."""
    from mindguard.snapshots.expire import expire_snapshots

    settings, store = settings_and_store()
    expired = expire_snapshots(store, settings.snapshot.retention, now=datetime.now(UTC), apply=apply)
    if as_json:
        print_json(expired.summary())
    else:
        _print_plan(expired.decisions, settings.zone, settings.timezone)
        for line in (*expired.locked, *(f"not of this package, left alone: {key}" for key in expired.foreign)):
            typer.echo(line)
        typer.echo(
            f"expired {len(expired.snapshots)} snapshots, deleted {expired.objects} objects "
            f"({expired.bytes / 1e6:,.1f} MB), aborted {expired.uploads} uploads"
            if apply
            else "nothing was removed; --apply does it"
        )
    expired.check()


def hold(
    snapshot_id: SnapshotId,
    reason: Annotated[str, typer.Option(help="Why it must be kept; shown wherever it would expire.")],
    as_json: AsJson = False,
) -> None:
    """Keep a snapshot whatever its age, until it is released."""
    from mindguard.snapshots.expire import hold as hold_snapshot

    _, store = settings_and_store()
    held = hold_snapshot(store, snapshot_id, reason=reason, now=datetime.now(UTC))
    _tell({"snapshot_id": held, "held": True, "reason": reason}, f"snapshot {held} is held: {reason}", as_json)


def release(snapshot_id: SnapshotId, as_json: AsJson = False) -> None:
    """End a hold: the snapshot expires like any other again."""
    from mindguard.snapshots.expire import release as release_snapshot

    _, store = settings_and_store()
    released = release_snapshot(store, snapshot_id)
    _tell({"snapshot_id": released, "held": False}, f"snapshot {released} is held no longer", as_json)


def _print_plan(decisions: Any, zone: Any, timezone: str) -> None:
    rows = [
        (
            each.snapshot.snapshot_id,
            f"{each.snapshot.taken_at.astimezone(zone):%Y-%m-%d %H:%M}",
            each.action,
            each.reason,
        )
        for each in decisions
    ]
    print_table(("snapshot", f"taken ({timezone})", "decision", "reason"), rows)


def _tell(facts: dict[str, Any], line: str, as_json: bool) -> None:
    if as_json:
        print_json(facts)
    else:
        typer.echo(line)
