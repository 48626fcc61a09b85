"""The `mindguard` command. It needs no running Airflow: connections come from `AIRFLOW_CONN_<ID>` variables.

Exit status 0 only when what was asked is so; 1 with one clear line otherwise; 2 for a wrong call.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer

from mindguard import (
    __version__,
    cli_feishu,
    cli_incidents,
    cli_keys,
    cli_monitors,
    cli_restore,
    cli_retention,
    cli_rota,
)
from mindguard.cli_common import AsJson, SnapshotId, print_json, print_progress, print_table, settings_and_store
from mindguard.errors import MindGuardError

_INTERRUPTED = 130  # what typer exits with after Ctrl-C, silently

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help=__doc__.split("\n")[0],
    rich_markup_mode=None,
    pretty_exceptions_enable=False,  # they would show local variables, and those hold passwords
)
snapshot_app = typer.Typer(no_args_is_help=True, help="Take, verify, restore, drill and expire snapshots.")
app.add_typer(snapshot_app, name="snapshot")
app.add_typer(cli_feishu.app, name="feishu")
app.add_typer(cli_incidents.app, name="incidents")
app.add_typer(cli_keys.app, name="keys")
app.add_typer(cli_monitors.app, name="monitors")
app.add_typer(cli_rota.app, name="rota")
cli_restore.register(snapshot_app)
cli_retention.register(snapshot_app)


def main() -> None:
    """Run the command; turn an expected error into one line, unless --debug asks for its traceback."""
    debug = "--debug" in sys.argv
    try:
        app([argument for argument in sys.argv[1:] if argument != "--debug"], prog_name="mindguard")
    except MindGuardError as error:
        if debug:
            raise
        typer.secho(f"mindguard: {error}", err=True, fg="red")
        sys.exit(1)
    except SystemExit as end:
        if end.code == _INTERRUPTED:
            typer.secho("mindguard: interrupted; nothing was published", err=True, fg="red")
        raise


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Check every connection: reachable, rights, clock, what the store can do."""
    from mindguard.connections import from_environment
    from mindguard.doctor import examine
    from mindguard.settings import load_settings

    findings = examine(load_settings(), from_environment, now=lambda: datetime.now(UTC))
    if as_json:
        print_json([finding.as_dict() for finding in findings])
    else:
        print_table(("", "what", "check", "finding"), [(f.status, f.what, f.check, f.text) for f in findings])
    if any(finding.status == "error" for finding in findings):
        raise typer.Exit(1)


@snapshot_app.command()
def take(as_json: AsJson = False) -> None:
    """Take a snapshot of the tables in the settings now."""
    from mindguard.snapshots.take import take_snapshot

    settings, store = settings_and_store()
    taken = take_snapshot(
        _app_conninfo(),
        store,
        settings.snapshot,
        now=datetime.now(UTC),
        zone=settings.zone,
        progress=print_progress,
    )
    if as_json:
        print_json(taken.summary())
        return
    rows = [
        (name, f"{t.rows:,}", str(t.parts_written), str(t.parts_reused), f"{t.bytes / 1e6:,.1f}")
        for name, t in taken.tables.items()
    ]
    print_table(("table", "rows", "parts written", "reused", "MB"), rows)
    typer.echo(f"snapshot {taken.manifest.snapshot_id} in {taken.seconds:.1f} s, {taken.mb_per_s:,.0f} MB/s of source")


@snapshot_app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List all snapshots, oldest first; with exit status 1 if one cannot be read."""
    from mindguard.snapshots.catalog import id_of, list_snapshots

    settings, store = settings_and_store()
    unreadable: list[dict[str, Any]] = []

    def tell(key: str, error: MindGuardError) -> None:
        unreadable.append({"snapshot_id": id_of(key), "status": "unreadable", "key": key, "reason": str(error)})

    readable = [
        {
            "snapshot_id": each.snapshot_id,
            "status": "quarantined" if each.quarantined_for else "readable",
            "taken_at": each.taken_at.isoformat(),
            "tables": len(each.tables),
            "rows": each.rows,
            "parts": len(each.parts),
            "bytes": each.stored_bytes,
        }
        for each in list_snapshots(store, unreadable=tell)
    ]
    listed = sorted([*readable, *unreadable], key=lambda each: str(each["snapshot_id"]))
    if as_json:
        print_json(listed)
    else:
        heads = ("snapshot", "status", f"taken ({settings.timezone})", "tables", "rows", "parts", "MB")
        print_table(heads, [_row(each, settings.zone) for each in listed])
        for each in unreadable:
            typer.echo(f"unreadable: {each['reason']}", err=True)
    if unreadable:
        raise MindGuardError(
            f"{len(unreadable)} of {len(listed)} snapshots cannot be read: "
            + ", ".join(each["snapshot_id"] for each in unreadable),
            hint="keep the damaged ones for analysis; a key that is missing may be put back into the key ring",
        )


def _row(listed: dict[str, Any], zone: ZoneInfo) -> tuple[str, ...]:
    if listed["status"] == "unreadable":
        return (listed["snapshot_id"], "unreadable", *[""] * 5)
    return (
        listed["snapshot_id"],
        listed["status"],
        f"{datetime.fromisoformat(listed['taken_at']).astimezone(zone):%Y-%m-%d %H:%M}",
        str(listed["tables"]),
        f"{listed['rows']:,}",
        str(listed["parts"]),
        f"{listed['bytes'] / 1e6:,.1f}",
    )


@snapshot_app.command()
def show(snapshot_id: SnapshotId, as_json: AsJson = False) -> None:
    """Show one snapshot's tables, and its whole manifest with --json."""
    from mindguard.snapshots.catalog import find_snapshot

    settings, store = settings_and_store()
    found = find_snapshot(store, snapshot_id)
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    typer.echo(f"snapshot  {found.snapshot_id}")
    typer.echo(f"taken     {found.taken_at.astimezone(settings.zone):%Y-%m-%d %H:%M:%S} {settings.timezone}")
    typer.echo(f"source    {found.source.database}, PostgreSQL {found.source.server_version // 10_000}")
    rows = [
        (
            t.name,
            f"{t.rows:,}",
            str(len(t.parts)),
            f"{t.stored_bytes / 1e6:,.1f}",
            t.part_by,
            t.fingerprint[:12],
        )
        for t in found.tables
    ]
    print_table(("table", "rows", "parts", "MB", "part by", "fingerprint"), rows)


@snapshot_app.command()
def verify(snapshot_id: SnapshotId, as_json: AsJson = False) -> None:
    """Read every stored part of a snapshot and compare it with the manifest."""
    from mindguard.snapshots.catalog import find_snapshot
    from mindguard.snapshots.verify import verify_snapshot

    _, store = settings_and_store()
    verified = verify_snapshot(find_snapshot(store, snapshot_id), store, progress=print_progress)
    if as_json:
        print_json(
            {
                "snapshot_id": verified.snapshot_id,
                "verified": not verified.faults,
                "parts": verified.parts,
                "bytes": verified.bytes,
                "seconds": round(verified.seconds, 3),
                "faults": verified.faults,
            }
        )
    verified.check()
    if not as_json:
        typer.echo(
            f"snapshot {verified.snapshot_id} is whole: {verified.parts} parts, "
            f"{verified.bytes / 1e6:,.1f} MB, {verified.seconds:.1f} s"
        )


def _app_conninfo() -> str:
    from mindguard.connections import from_environment, postgres_conninfo
    from mindguard.settings import load_settings

    return postgres_conninfo(from_environment(load_settings().connections.app))
