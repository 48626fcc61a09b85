"""The `mindguard` command. It needs no running Airflow: connections come from `AIRFLOW_CONN_<ID>` variables.

The exit status is 0 only if the command succeeded or its question has the answer yes; otherwise 1 with one clear
line; 2 if the command was called wrongly.
"""

from __future__ import annotations

import os
import shlex
import signal
import sys
from collections.abc import MutableMapping
from datetime import UTC, datetime
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_group_from_info
from typer.models import TyperInfo

from mindguard import __version__
from mindguard.cli.output import AsJson, Interrupted, print_json, print_table
from mindguard.errors import MindGuardError, library_missing

_INTERRUPTED = 130  # typer's exit status after Ctrl-C, about which it prints nothing

_GROUPS = {
    "snapshot": ("snapshots", "app", "Take, verify, restore, drill and expire snapshots."),
    "dags": ("dags", "app", "Copy the DAGs of an installed package to where Airflow looks for them."),
    "feishu": ("feishu", "app", "Preview and send sample cards."),
    "incidents": ("incidents", "app", "Show, acknowledge, resolve and review incidents."),
    "keys": ("keys", "app", "Create and rotate the keys that encrypt snapshots."),
    "monitors": ("monitors", "app", "Measure freshness and service levels, and show what was measured."),
    "rota": ("rota", "app", "Show who is on duty, and check that somebody always is."),
    "silences": ("silences", "app", "Silence incidents during planned work; they are still recorded."),
    "suites": ("suites", "app", "Check suites of expectations, run them, and replay past days."),
    "volume": ("suites", "volume_app", "Create the event rollup, and compare it with the raw events."),
}
"""Each group of commands: its module, the name that it has there, and its help."""


@cache
def _commands_of(group: str) -> MutableMapping[str, Any]:
    module, name, _ = _GROUPS[group]
    found = TyperInfo(getattr(import_module(f"mindguard.cli.{module}"), name))
    return get_group_from_info(
        found, rich_markup_mode=None, pretty_exceptions_short=True, suggest_commands=True
    ).commands


class _Group(TyperGroup):
    """A group whose module is imported only when its commands are wanted, and not for the help of the whole."""

    @property
    def commands(self) -> MutableMapping[str, Any]:
        return _commands_of(str(self.name))

    @commands.setter
    def commands(self, _none_yet: MutableMapping[str, Any]) -> None:
        """Leave out what the constructor sets."""


app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help=__doc__.split("\n")[0],
    rich_markup_mode=None,
    pretty_exceptions_enable=False,  # they would show local variables, which hold passwords
)
for _name, (_, _, _text) in _GROUPS.items():
    app.add_typer(typer.Typer(cls=_Group, no_args_is_help=True, help=_text), name=_name)


def main() -> None:
    """Run the command. Print an expected error as one line, unless --debug asks for its traceback."""
    debug = "--debug" in sys.argv
    # Pydantic would look for plugins in the metadata of every installed package.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends like Ctrl-C: tidies up and says what is left
    try:
        app([argument for argument in sys.argv[1:] if argument != "--debug"], prog_name="mindguard")
    except MindGuardError as error:
        if debug:
            raise
        notes = getattr(error.__cause__, "__notes__", ())  # for instance what could not be removed
        typer.secho("; ".join((f"mindguard: {error}{_settings_of(error)}", *notes)), err=True, fg="red")
        sys.exit(_INTERRUPTED if isinstance(error, Interrupted) else 1)
    except ModuleNotFoundError as error:
        if debug or (error.name or "").partition(".")[0] == "mindguard":
            raise
        typer.secho(f"mindguard: {library_missing(error)}", err=True, fg="red")
        sys.exit(1)
    except SystemExit as end:
        if end.code == _INTERRUPTED:
            typer.secho("mindguard: interrupted; nothing was published", err=True, fg="red")
        raise


def _settings_of(error: MindGuardError) -> str:
    """Return which settings file counts, if one was read and the error does not name it: there may be another."""
    from mindguard.settings import last_read

    path = last_read()
    return "" if path is None or isinstance(error, Interrupted) or path.name in str(error) else f" (settings: {path})"


@app.callback(invoke_without_command=True)
def _root(
    *,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit


@app.command()
def init(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The settings file to write; it must not exist.")],
    *,
    bucket: Annotated[str, typer.Option("--bucket", help="The bucket for snapshots.")] = "mindguard-backup",
    app_id: Annotated[
        str, typer.Option("--app", metavar="ID", help="The PostgreSQL connection to look for tables with.")
    ] = "mindguard_app",
    events_id: Annotated[
        str, typer.Option("--events", metavar="ID", help="The ClickHouse connection to look for events with.")
    ] = "mindguard_events",
    events_table: Annotated[
        str | None, typer.Option("--events-table", metavar="TABLE", help="database.table of the product events.")
    ] = None,
) -> None:
    """Write a commented settings file for the tables and events that the given connections show.

    Either connection may be missing. Nothing is ever overwritten, and nothing is changed in the databases.
    """
    from mindguard.connections import from_environment
    from mindguard.jobs.first_settings import write_first_settings
    from mindguard.settings.connections import Connections

    ids = Connections(app=app_id, events=events_id)
    for line in write_first_settings(
        file, from_environment, ids=ids, bucket=bucket, table=events_table, now=datetime.now(UTC)
    ):
        typer.echo(line)
    typer.echo(f"written {file}; next: export MINDGUARD_SETTINGS={shlex.quote(str(file.resolve()))}, mindguard doctor")


@app.command()
def doctor(*, as_json: AsJson = False) -> None:
    """Check whether each connection can be reached, its rights and clock, and what the store can do.

    A connection that is missing is an error only if a setting needs it. The exit status is 1 if there is an error.
    """
    from mindguard.connections import from_environment
    from mindguard.doctor import examine
    from mindguard.settings import load_settings

    findings = examine(load_settings(), from_environment, now=lambda: datetime.now(UTC))
    if as_json:
        print_json([finding.as_dict() for finding in findings])
    else:
        own, *others = findings
        typer.echo(f"settings: {own.text}")
        print_table(("", "what", "finding"), [(_shown(f.status), f.what, f"{f.check}: {f.text}") for f in others])
    if any(finding.status == "error" for finding in findings):
        raise typer.Exit(1)


def _shown(status: str) -> str:
    return "–" if status == "unused" else status
