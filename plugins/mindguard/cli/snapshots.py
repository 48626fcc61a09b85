"""`mindguard snapshot`: take, list, verify, restore, drill and expire snapshots, whether Airflow is up or down."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any
from zoneinfo import ZoneInfo

import typer

from mindguard.cli.output import (
    AsJson,
    SnapshotId,
    Verbose,
    interruptible,
    print_json,
    print_outcome,
    print_progress,
    print_table,
    progress_lines,
    settings_and_store,
)
from mindguard.errors import MindGuardError, first_few
from mindguard.units import counted, size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mindguard.settings import Settings
    from mindguard.snapshots.retention.rules import Decision
    from mindguard.snapshots.storage.manifest import Manifest, Table
    from mindguard.snapshots.storage.store import Store

app = typer.Typer(no_args_is_help=True)


# Exit status of `take` when a snapshot was published:
_QUARANTINED = 3  # it does not count as good
_CONTRADICTED = 4  # it is good, but older ones may hold other values


@app.command()
def take(
    *,
    recheck: Annotated[
        bool, typer.Option("--recheck", help="Read all values, also those that no transaction has changed.")
    ] = False,
    verbose: Verbose = False,
    as_json: AsJson = False,
) -> None:
    """Take a snapshot of the tables in the settings.

    The exit status is 3 if it was published, but quarantined; 4 if it is good, but values had changed unnoticed before.
    """
    from mindguard.snapshots.export.source_errors import TuplesContradicted
    from mindguard.snapshots.export.take import take_snapshot

    settings, store = settings_and_store()
    with progress_lines(verbose=verbose) as progress:
        taken = take_snapshot(
            _conninfo(settings.connections.app),
            store,
            settings.snapshot,
            now=datetime.now(UTC),
            zone=settings.zone,
            recheck=recheck,
            progress=progress,
        )
    if as_json:
        print_json(taken.summary())
    else:
        rows = [
            (name, f"{t.rows:,}", str(t.parts_written), str(t.parts_reused), size(t.bytes))
            for name, t in taken.tables.items()
        ]
        print_table(("table", "rows", "parts written", "reused", "size"), rows)
        typer.echo(
            f"snapshot {taken.manifest.snapshot_id} in {taken.seconds:.1f} s, {taken.mb_per_s:,.0f} MB/s of source"
        )
        _print_notes(taken.manifest)
    if taken.contradicted:
        error = TuplesContradicted(taken.contradicted)
        typer.echo(f"{error.message} – {error.hint}", err=True)
    if taken.manifest.quarantined_for:
        raise typer.Exit(_QUARANTINED)
    if taken.contradicted:
        raise typer.Exit(_CONTRADICTED)


@app.command("list")
def list_(*, as_json: AsJson = False) -> None:
    """List all snapshots, oldest first. The exit status is 1 if one cannot be read."""
    from mindguard.snapshots.retention.holds import held
    from mindguard.snapshots.storage.catalog import id_of, list_snapshots, refuse_lost_listing
    from mindguard.snapshots.storage.state import states

    settings, store = settings_and_store()
    holds, now = held(store), datetime.now(UTC)
    unreadable: list[dict[str, Any]] = []

    def note_unreadable(key: str, error: MindGuardError) -> None:
        unreadable.append({"snapshot_id": id_of(key), "status": "unreadable", "key": key, "reason": str(error)})

    manifests = list_snapshots(store, unreadable=note_unreadable)
    if not manifests and not unreadable:
        refuse_lost_listing(store)
    known = states(store, manifests, now=now)
    readable = [
        {
            "snapshot_id": each.snapshot_id,
            "status": "quarantined" if each.quarantined_for else "readable",
            "quarantined_for": list(each.quarantined_for),
            "proven": known[each.snapshot_id].proof is not None,
            "held": each.snapshot_id in holds,
            "rebuilt_tables": known[each.snapshot_id].rebuilt,
            "doubtful_tables": list(known[each.snapshot_id].doubtful),
            "not_held": list(each.not_held),
            "taken_at": each.taken_at.isoformat(),
            "tables": len(each.tables),
            "rows": each.rows,
            "parts": len(each.parts),
            "bytes": each.stored_bytes,
        }
        | known[each.snapshot_id].checks.summary()
        for each in manifests
    ]
    listed = sorted([*readable, *unreadable], key=lambda each: str(each["snapshot_id"]))
    if as_json:
        print_json(listed)
    else:
        heads = ("snapshot", f"taken ({settings.timezone})", "rows", "size", "oldest check", "status")
        words = {name: state.checks.in_words(now) for name, state in known.items()}
        print_table(heads, [_row(each, words.get(each["snapshot_id"], ""), settings.zone) for each in listed])
        for each in listed:
            for reason in each.get("quarantined_for", ()):
                typer.echo(f"{each['snapshot_id']} is quarantined: {reason}")
        for line in dict.fromkeys(line for each in listed for line in each.get("not_held", ())):
            typer.echo(f"not held: {line}")
        for each in unreadable:
            typer.echo(f"unreadable: {each['reason']}", err=True)
    if unreadable:
        raise MindGuardError(
            f"{len(unreadable)} of {len(listed)} snapshots cannot be read: "
            + first_few([str(each["snapshot_id"]) for each in unreadable]),
            hint="keep damaged snapshots for analysis; put a missing key back into the key ring",
        )


@app.command()
def show(snapshot_id: SnapshotId, *, as_json: AsJson = False) -> None:
    """Show the tables of one snapshot, or with --json its whole manifest."""
    from mindguard.snapshots.retention.holds import held
    from mindguard.snapshots.storage.catalog import find_snapshot
    from mindguard.snapshots.storage.state import state_of

    settings, store = settings_and_store()
    found, now = find_snapshot(store, snapshot_id), datetime.now(UTC)
    state = state_of(store, found, now=now)
    proof, is_held = state.proof, found.snapshot_id in held(store)
    if as_json:
        marks = {"status": found.status, "proven_at": proof and proof.proven_at.isoformat(), "held": is_held}
        more = {"rebuilt_tables": state.rebuilt, "doubtful_tables": list(state.doubtful)} | state.checks.summary()
        print_json(found.model_dump(mode="json") | marks | more)
        return
    typer.echo(f"snapshot  {found.snapshot_id}")
    typer.echo(f"status    {found.status}{', held' if is_held else ''}")
    typer.echo(
        f"proven    {proof.proven_at.astimezone(settings.zone):%Y-%m-%d %H:%M:%S} {settings.timezone}, rebuilt in "
        f"{proof.seconds:.1f} s"
        if proof
        else f"proven    no: restore drills have rebuilt {state.rebuilt} of {counted(len(found.tables), 'table')}"
        if state.rebuilt
        else "proven    no: no restore drill has rebuilt it"
    )
    typer.echo(f"checked   {state.checks.in_words(now)}: age of the oldest check of its parts")
    typer.echo(f"taken     {found.taken_at.astimezone(settings.zone):%Y-%m-%d %H:%M:%S} {settings.timezone}")
    typer.echo(f"source    {found.source.database}, PostgreSQL {found.source.server_version // 10_000}")
    rows = [
        (
            t.name,
            f"{t.rows:,}",
            str(len(t.parts)),
            size(t.stored_bytes),
            t.part_by,
            t.fingerprint[:12],
            _values_read(t, found, settings.zone),
        )
        for t in found.tables
    ]
    print_table(("table", "rows", "parts", "size", "part by", "fingerprint", "values read"), rows)
    _print_notes(found)
    _print_doubts(found, state.doubtful, settings.zone)


def _values_read(table: Table, snapshot: Manifest, zone: ZoneInfo) -> str:
    """Return of how many parts the values were read for this snapshot, and since when the others are unchanged.

    Versions that recorded no time read all values.
    """
    oldest = table.values_read_at
    if table.name not in snapshot.unread or oldest is None:
        return "all"
    now = sum(part.values_read_at == snapshot.taken_at for part in table.parts)
    return f"{now} of {len(table.parts)}, others {oldest.astimezone(zone):%Y-%m-%d}"


@app.command()
def verify(
    snapshot_id: SnapshotId,
    *,
    due: Annotated[
        bool, typer.Option("--due", help="Only what is new or due by snapshot.verify_days, as the DAG does.")
    ] = False,
    verbose: Verbose = False,
    as_json: AsJson = False,
) -> None:
    """Read every stored part of a snapshot and compare it with the manifest."""
    from mindguard.snapshots.storage.catalog import find_snapshot
    from mindguard.snapshots.storage.verify import verify_due

    settings, store = settings_and_store()
    manifest = find_snapshot(store, snapshot_id)
    days = settings.snapshot.verify_days if due else 0
    with interruptible(lambda: "nothing was changed"), progress_lines(verbose=verbose) as progress:
        verified = verify_due(manifest, store, now=datetime.now(UTC), verify_days=days, progress=progress)
    if as_json:
        gate = {"status": manifest.status, "quarantined_for": list(manifest.quarantined_for)}
        print_json(verified.summary() | gate)
    verified.check()
    if not as_json:
        typer.echo(str(verified))
        _print_notes(manifest)


@app.command()
def restore(
    snapshot_id: SnapshotId,
    to: Annotated[str, typer.Option(metavar="CONN_ID", help="Connection to restore into (AIRFLOW_CONN_<ID>).")],
    table: Annotated[
        list[str] | None, typer.Option(metavar="T", help="A table. May be repeated. Default: all.")
    ] = None,
    where_key: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN=VALUE", help="Only rows with this value. A column that is named twice may have either."
        ),
    ] = None,
    into: Annotated[str, typer.Option(metavar="SCHEMA", help="Schema for the tables. Default: restored_<ID>.")] = "",
    *,
    swap: Annotated[bool, typer.Option("--swap", help="Then put them in the place of the live tables.")] = False,
    whole: Annotated[bool, typer.Option("--whole", help="Rebuild everything in an empty database instead.")] = False,
    quarantined: Annotated[
        bool, typer.Option("--quarantined", help="Restore this snapshot although the gate quarantined it.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be read and written.")] = False,
    verbose: Verbose = False,
    as_json: AsJson = False,
) -> None:
    """Restore tables, or rows of them, into a new schema, or with --whole a snapshot into an empty database."""
    from mindguard.snapshots.restore import tables
    from mindguard.snapshots.restore import whole as whole_database
    from mindguard.snapshots.storage.catalog import find_snapshot
    from mindguard.snapshots.storage.doubt import doubtful_tables

    settings, store, conninfo = _settings_store_target(to)
    manifest = find_snapshot(store, snapshot_id, quarantined=quarantined)
    _print_doubts(manifest, doubtful_tables(store, [manifest]).get(manifest.snapshot_id, ()), settings.zone)
    connections = settings.snapshot.connections
    request = tables.RestoreRequest(tuple(table or ()), tuple(where_key or ()), into, swap=swap)
    if whole and request != tables.RestoreRequest():
        raise typer.BadParameter("--whole restores everything: leave out --table, --where-key, --into and --swap")
    if dry_run:
        plan_rebuild = whole_database.plan_rebuild
        plan = plan_rebuild(manifest, conninfo) if whole else tables.plan_restore(manifest, conninfo, request).lines()
        print_outcome({"status": manifest.status, "plan": plan}, "\n".join(plan), as_json=as_json)
    elif whole:
        with interruptible(lambda: whole_database.remains(conninfo)), progress_lines(verbose=verbose) as progress:
            rebuilt = whole_database.rebuild(manifest, store, conninfo, connections=connections, progress=progress)
        print_outcome(rebuilt.summary() | {"status": manifest.status}, "\n".join(rebuilt.lines()), as_json=as_json)
    else:
        left = partial(tables.remains, manifest, conninfo, request)
        with interruptible(left), progress_lines(verbose=verbose) as progress:
            restored = tables.restore(manifest, store, conninfo, request, connections=connections, progress=progress)
        print_outcome(restored.summary() | {"status": manifest.status}, "\n".join(restored.lines(to)), as_json=as_json)


@app.command("put-back")
def put_back(
    snapshot_id: SnapshotId,
    to: Annotated[str, typer.Option(metavar="CONN_ID", help="Connection with the live tables (AIRFLOW_CONN_<ID>).")],
    table: Annotated[
        list[str] | None, typer.Option(metavar="T", help="A table. May be repeated. Default: all in the schema.")
    ] = None,
    from_: Annotated[
        str, typer.Option("--from", metavar="SCHEMA", help="Schema with the restored tables. Default: restored_<ID>.")
    ] = "",
    *,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Also overwrite rows that differ. What they had is kept.")
    ] = False,
    apply: Annotated[
        bool, typer.Option("--apply", help="Put back what the last look has shown. Each look serves once.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Count the restored rows that the live tables lack, or have otherwise. With --apply, put them back.

    A query to see these rows is printed: they are kept. What comes or changes after they were shown stays as it is.
    """
    from mindguard.snapshots.restore import put_back as back
    from mindguard.snapshots.storage.catalog import find_snapshot

    _, store, conninfo = _settings_store_target(to)
    manifest = find_snapshot(store, snapshot_id)
    request = back.PutBackRequest(tuple(table or ()), from_, overwrite=overwrite)
    with interruptible(lambda: "live tables are unchanged"):
        if apply:
            done = back.put_back(manifest, conninfo, request, progress=print_progress)
            print_outcome(done.summary(), "\n".join(done.lines()), as_json=as_json)
        else:
            shown = back.show(manifest, conninfo, request, now=datetime.now(UTC))
            lines = [*shown.lines(overwrite=overwrite), "nothing was put back; --apply does what this shows"]
            print_outcome(shown.summary(), "\n".join(lines), as_json=as_json)


@app.command()
def drill(
    snapshot_id: SnapshotId,
    to: Annotated[str, typer.Option(metavar="CONN_ID", help="Scratch server. Default: connections.drill.")] = "",
    *,
    part: Annotated[
        bool, typer.Option("--part", help="Only as much as snapshot.drill.max_gb allows for a day, as the DAG does.")
    ] = False,
    verbose: Verbose = False,
    as_json: AsJson = False,
) -> None:
    """Rebuild a snapshot in a scratch database, prove that it is equal to its source, and drop it again."""
    from mindguard.snapshots.restore.drill import drill_part, drill_stored

    settings, store, conninfo = _settings_store_target(to)
    if part:
        if settings.snapshot.drill.max_gb is None:
            raise typer.BadParameter("--part needs snapshot.drill.max_gb in the settings")
        with interruptible(lambda: "the scratch database is dropped"), progress_lines(verbose=verbose) as progress:
            drilled = drill_part(
                snapshot_id,
                store,
                conninfo,
                settings.snapshot.drill,
                now=datetime.now(UTC),
                asked=True,
                kept_for=timedelta(days=settings.snapshot.retention.days),
                connections=settings.snapshot.connections,
                progress=progress,
            )
        print_outcome(drilled.summary(), str(drilled), as_json=as_json)
        return
    with interruptible(lambda: "the scratch database is dropped"), progress_lines(verbose=verbose) as progress:
        proof = drill_stored(
            snapshot_id,
            store,
            conninfo,
            now=datetime.now(UTC),
            asked=True,
            kept_for=timedelta(days=settings.snapshot.retention.days),
            connections=settings.snapshot.connections,
            progress=progress,
        )
    lines = [f"{name}: {table.rows:,} rows, equal" for name, table in proof.tables.items()]
    lines += [f"left out: {line}" for line in proof.skipped]
    lines.append(f"snapshot {proof.snapshot_id} is proven; it takes {proof.seconds:.1f} s to rebuild")
    print_outcome(proof.model_dump(mode="json"), "\n".join(lines), as_json=as_json)


@app.command()
def expire(
    *,
    apply: Annotated[bool, typer.Option("--apply", help="Carry out the plan instead of only showing it.")] = False,
    orphans: Annotated[
        bool, typer.Option("--orphans", help="Also remove parts without a snapshot that are unexpectedly many.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show which snapshots expire and why. With --apply, remove them and what no snapshot needs any more."""
    from mindguard.snapshots.retention.expire import expire_snapshots

    settings, store = settings_and_store()
    with interruptible(lambda: "run it again to remove the rest" if apply else "nothing was removed"):
        expired = expire_snapshots(
            store,
            settings.snapshot.retention,
            now=datetime.now(UTC),
            apply=apply,
            any_orphans=orphans,
            days_per_proof=settings.snapshot.drill.days_per_proof,
        )
    if as_json:
        print_json(expired.summary())
    else:
        _print_plan(expired.decisions, settings)
        for line in (*expired.locked, *(f"not of this package, left alone: {key}" for key in expired.foreign)):
            typer.echo(line)
        typer.echo(str(expired.planned))
        typer.echo(
            f"expired {counted(len(expired.snapshots), 'snapshot')}, deleted {counted(expired.objects, 'object')} "
            f"({size(expired.bytes)}), aborted {counted(expired.uploads, 'upload')}"
            if apply
            else "nothing was removed; --apply carries out this plan"
        )
    expired.check()


@app.command()
def hold(
    snapshot_id: SnapshotId,
    reason: Annotated[str, typer.Option(help="Why it must be kept. Shown where it would otherwise expire.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Keep a snapshot, however old, until it is released."""
    from mindguard.snapshots.retention.holds import hold as hold_snapshot

    _, store = settings_and_store()
    held = hold_snapshot(store, snapshot_id, reason=reason, now=datetime.now(UTC))
    facts = {"snapshot_id": held, "held": True, "reason": reason}
    print_outcome(facts, f"snapshot {held} is held: {reason}", as_json=as_json)


@app.command()
def release(snapshot_id: SnapshotId, *, as_json: AsJson = False) -> None:
    """End a hold, so that the snapshot expires like any other."""
    from mindguard.snapshots.retention.holds import release as release_snapshot

    _, store = settings_and_store()
    released = release_snapshot(store, snapshot_id)
    facts = {"snapshot_id": released, "held": False}
    print_outcome(facts, f"snapshot {released} is no longer held", as_json=as_json)


def _print_notes(manifest: Manifest) -> None:
    """Print what a person must know who relies on this snapshot."""
    for reason in manifest.quarantined_for:
        typer.secho(f"QUARANTINED, does not count as good: {reason}", err=True, fg="red")
    for line in manifest.not_held:
        typer.echo(f"not held: {line}")


def _print_doubts(manifest: Manifest, tables: Sequence[str], zone: ZoneInfo) -> None:
    """Print since when the values of tables may be that a later snapshot has put in doubt."""
    for each in manifest.contents:
        if each.name in tables and each.values_read_at:
            typer.secho(
                f"DOUBTFUL: rows of {each.name} may be older than the snapshot, since they were last read on "
                f"{each.values_read_at.astimezone(zone):%Y-%m-%d}, and a later snapshot found that values had changed "
                "unnoticed",
                err=True,
                fg="red",
            )


def _row(listed: dict[str, Any], oldest_check: str, zone: ZoneInfo) -> tuple[str, ...]:
    if listed["status"] == "unreadable":
        return (listed["snapshot_id"], *[""] * 4, "unreadable")
    marks = ["quarantined" if listed["quarantined_for"] else "good", *(m for m in ("proven", "held") if listed[m])]
    marks += ["doubtful"] if listed["doubtful_tables"] else []
    if listed["rebuilt_tables"] and not listed["proven"]:
        marks.append(f"{listed['rebuilt_tables']} of {counted(listed['tables'], 'table')} rebuilt")
    return (
        listed["snapshot_id"],
        f"{datetime.fromisoformat(listed['taken_at']).astimezone(zone):%Y-%m-%d %H:%M}",
        f"{listed['rows']:,}",
        size(listed["bytes"]),
        oldest_check,
        ", ".join(marks),
    )


def _conninfo(conn_id: str) -> str:
    from mindguard.connections import from_environment, postgres_conninfo

    return postgres_conninfo(from_environment(conn_id))


def _settings_store_target(conn_id: str) -> tuple[Settings, Store, str]:
    settings, store = settings_and_store()
    return settings, store, _conninfo(conn_id or settings.connections.drill)


def _print_plan(decisions: Sequence[Decision], settings: Settings) -> None:
    rows = [
        (
            each.snapshot.snapshot_id,
            f"{each.snapshot.taken_at.astimezone(settings.zone):%Y-%m-%d %H:%M}",
            each.action,
            each.reason,
        )
        for each in decisions
    ]
    print_table(("snapshot", f"taken ({settings.timezone})", "decision", "reason"), rows)
