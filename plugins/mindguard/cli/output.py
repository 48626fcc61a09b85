"""Options, and functions that open the store and print results, which the command line's modules share."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from mindguard.settings import Settings
    from mindguard.snapshots.storage.store import Store

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
SnapshotId = Annotated[str, typer.Argument(metavar="ID", help="A snapshot's id, or `latest`, the newest good one.")]


def settings_and_store() -> tuple[Settings, Store]:
    """Return the settings and the snapshot store that they name, with connections from the environment."""
    from mindguard.connections import from_environment, s3_client
    from mindguard.settings import load_settings
    from mindguard.snapshots.storage.encryption import encryption_of
    from mindguard.snapshots.storage.store import Store

    settings = load_settings()
    client = s3_client(from_environment(settings.connections.backup))
    return settings, Store.of(client, settings.snapshot, encryption_of(settings, from_environment))


def print_progress(line: str) -> None:
    """Print a line with the present time to standard error."""
    typer.echo(f"{datetime.now(UTC).astimezone():%H:%M:%S}  {line}", err=True)


def print_json(value: Any) -> None:
    """Print a value as JSON to standard output."""
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2))


def print_outcome(facts: Any, text: str, *, as_json: bool) -> None:
    """Print the outcome of a command: the facts as JSON for programs, or the text for people."""
    if as_json:
        print_json(facts)
    else:
        typer.echo(text)


def print_table(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """Print a table to standard output.

    Only the last column is wrapped, only between words, and only in a terminal; nothing is ever cut off.
    """
    from rich import box
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Column, Table

    *whole, last = zip(heads, *rows, strict=True)
    columns = [Column(cells[0], no_wrap=True, min_width=max(map(cell_len, cells))) for cells in whole]
    table = Table(*columns, last[0], box=box.SIMPLE_HEAD)
    for row in rows:
        table.add_row(*row)
    console = Console(markup=False, emoji=False)
    needed = console.measure(table, options=console.options.update(width=100_000))
    console.width = max(console.width, needed.minimum) if console.is_terminal else needed.maximum
    console.print(table)
