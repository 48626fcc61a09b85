"""Options, and functions that open the store and print results, which the command line's modules share."""

from __future__ import annotations

import getpass
import json
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mindguard.errors import MindGuardError

if TYPE_CHECKING:
    from mindguard.settings import Settings
    from mindguard.snapshots.progress import Progress
    from mindguard.snapshots.storage.store import Store

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Verbose = Annotated[bool, typer.Option("--verbose", help="Print a line for each part, also in a terminal.")]
SnapshotId = Annotated[str, typer.Argument(metavar="ID", help="A snapshot's id, or `latest`, the newest good one.")]


def _user() -> str:
    """Return the name of the user of this process; empty if it has none, as in some containers."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""


def _named(by: str) -> str:
    if not by.strip():
        raise MindGuardError("who does this is recorded, and there is no name", hint="give yours with --by")
    return by


By = Annotated[
    str, typer.Option("--by", help="Name to record.", default_factory=_user, callback=_named, show_default="you")
]


class Interrupted(MindGuardError):
    """Somebody has pressed Ctrl-C, or sent SIGTERM; the message says what is left of the work."""


@contextmanager
def interruptible(left: Callable[[], str]) -> Iterator[None]:
    """Let Ctrl-C end the block with what `left` says is left of its work.

    Raises:
        Interrupted: in place of KeyboardInterrupt.
    """
    try:
        yield
    except KeyboardInterrupt as stop:
        notes = getattr(stop, "__notes__", ())
        try:
            remains = "; ".join(notes) or left()
        except (MindGuardError, KeyboardInterrupt) as error:
            remains = f"what is left could not be found out: {error or 'interrupted again'}"
        raise Interrupted(f"interrupted; {remains}") from None


def settings_and_store() -> tuple[Settings, Store]:
    """Return the settings and the snapshot store that they name, with connections from the environment."""
    from mindguard.connections import from_environment, s3_client
    from mindguard.settings import load_settings
    from mindguard.snapshots.storage.encryption import encryption_of
    from mindguard.snapshots.storage.store import Store

    settings = load_settings()
    client = s3_client(from_environment(settings.connections.backup))
    return settings, Store.of(
        client, settings.snapshot, encryption_of(settings, from_environment), conn_id=settings.connections.backup
    )


def print_progress(line: str) -> None:
    """Print a line with the present time to standard error."""
    typer.echo(f"{_now()}  {line}", err=True)


def _now() -> str:
    return f"{datetime.now(UTC).astimezone():%H:%M:%S}"


@contextmanager
def progress_lines(*, verbose: bool) -> Iterator[Progress]:
    """Show progress while the block runs: in a terminal, one line with percent, rate and time left.

    Yields:
        The function to which the work reports. Where there is no terminal, or if `verbose` is true, it prints a line
        for each step; lines that are no steps of many are printed in any case.
    """
    from rich import progress
    from rich.console import Console
    from rich.table import Column

    from mindguard.snapshots.progress import Step

    console = Console(stderr=True)
    if verbose or not sys.stderr.isatty() or console.is_dumb_terminal:
        yield print_progress
        return
    bar = progress.Progress(
        progress.TextColumn(
            "{task.description}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1)
        ),
        progress.TextColumn("{task.percentage:3.0f} %", table_column=Column(no_wrap=True)),
        progress.TransferSpeedColumn(table_column=Column(no_wrap=True)),
        progress.TimeRemainingColumn(compact=True, table_column=Column(no_wrap=True)),
        progress.TextColumn("left", table_column=Column(no_wrap=True)),
        console=console,
        transient=True,
        expand=True,
    )
    tasks: dict[str, progress.TaskID] = {}
    lock = threading.Lock()

    def tell(line: str) -> None:
        if not isinstance(line, Step):
            bar.console.print(f"{_now()}  {line}", markup=False, highlight=False, emoji=False, soft_wrap=True)
            return
        with lock:
            if line.doing not in tasks:
                for task in tasks.values():
                    bar.update(task, visible=False)
                tasks[line.doing] = bar.add_task("", total=line.total)
            bar.update(tasks[line.doing], description=f"{line.doing} {line.what}", completed=line.done)

    with bar:
        yield tell


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
