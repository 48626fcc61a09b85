"""`mindguard snapshot restore` and `mindguard snapshot drill`: what gets rows back, with Airflow up or down."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from mindguard.cli_common import AsJson, SnapshotId, print_json, print_progress, settings_and_store


def register(snapshot_app: typer.Typer) -> None:
    """Add the commands to `mindguard snapshot`."""
    snapshot_app.command()(restore)
    snapshot_app.command()(drill)


def restore(
    snapshot_id: SnapshotId,
    to: Annotated[str, typer.Option(metavar="CONN_ID", help="Connection to restore into (AIRFLOW_CONN_<ID>).")],
    table: Annotated[
        list[str] | None, typer.Option(metavar="T", help="A table; repeat for several. Default: all.")
    ] = None,
    where_key: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN=VALUE", help="Only rows with this value; a column named twice: either value."),
    ] = None,
    into: Annotated[str, typer.Option(metavar="SCHEMA", help="Schema for the tables. Default: restored_<ID>.")] = "",
    swap: Annotated[bool, typer.Option("--swap", help="Then put them in the place of the live tables.")] = False,
    whole: Annotated[bool, typer.Option("--whole", help="Rebuild everything in an empty database instead.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be read and written.")] = False,
    as_json: AsJson = False,
) -> None:
    """Restore tables, or rows of them, into a new schema; or with --whole the snapshot into an empty database."""
    from mindguard.snapshots import restore as tables
    from mindguard.snapshots.catalog import find_snapshot
    from mindguard.snapshots.rebuild import plan_rebuild, rebuild

    settings, store, conninfo = _settings_store_target(to)
    manifest = find_snapshot(store, snapshot_id)
    connections = settings.snapshot.connections
    request = tables.Request(tuple(table or ()), tuple(where_key or ()), into, swap)
    if whole and request != tables.Request():
        raise typer.BadParameter("--whole restores everything: leave out --table, --where-key, --into and --swap")
    if dry_run:
        plan = plan_rebuild(manifest, conninfo) if whole else tables.plan_restore(manifest, conninfo, request).lines()
        _print({"plan": plan}, plan, as_json)
    elif whole:
        rebuilt = rebuild(manifest, store, conninfo, connections=connections, progress=print_progress)
        _print(rebuilt.summary(), rebuilt.lines(), as_json)
    else:
        done = tables.restore(manifest, store, conninfo, request, connections=connections, progress=print_progress)
        _print(done.summary(), done.lines(), as_json)


def drill(
    snapshot_id: SnapshotId,
    to: Annotated[str, typer.Option(metavar="CONN_ID", help="Scratch server. Default: connections.drill.")] = "",
    as_json: AsJson = False,
) -> None:
    """Rebuild a snapshot in a scratch database, prove that it is equal to its source, and drop it again."""
    from mindguard.snapshots.drill import drill_stored

    settings, store, conninfo = _settings_store_target(to)
    proof = drill_stored(
        snapshot_id,
        store,
        conninfo,
        now=datetime.now(UTC),
        connections=settings.snapshot.connections,
        progress=print_progress,
    )
    lines = [f"{name}: {table.rows:,} rows, equal" for name, table in proof.tables.items()]
    lines += [f"left out: {line}" for line in proof.skipped]
    lines.append(f"snapshot {proof.snapshot_id} is proven; it takes {proof.seconds:.1f} s to rebuild")
    _print(proof.model_dump(mode="json"), lines, as_json)


def _settings_store_target(conn_id: str) -> tuple[Any, Any, str]:
    from mindguard.connections import from_environment, postgres_conninfo

    settings, store = settings_and_store()
    return settings, store, postgres_conninfo(from_environment(conn_id or settings.connections.drill))


def _print(value: dict[str, Any], lines: list[str], as_json: bool) -> None:
    if as_json:
        print_json(value)
    else:
        typer.echo("\n".join(lines))
