"""Commands on monitors: `mindguard monitors run | list | history`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from mindguard.cli.output import AsJson, print_json, print_table
from mindguard.units import amount

if TYPE_CHECKING:
    from mindguard.monitors.result import Result
    from mindguard.monitors.store import MonitorStore
    from mindguard.settings import Settings

app = typer.Typer(no_args_is_help=True)


@app.command()
def run(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]…", help="Monitors. Default: all.")] = None,
    *,
    keep: Annotated[bool, typer.Option(help="Use and store states and results, as the DAGs do.")] = False,
    as_json: AsJson = False,
) -> None:
    """Measure and judge now. The exit status is 0 only if no monitor is in error and each could be judged.

    Too little traffic to judge is not a failure. Without --keep each value is judged alone and nothing is stored.
    """
    from mindguard.connections import from_environment
    from mindguard.monitors.run import run_monitors
    from mindguard.settings import load_settings

    settings = load_settings()
    results = run_monitors(
        settings,
        from_environment,
        now=datetime.now(UTC),
        memory=_store(settings) if keep else None,
        names=names or (),
    )
    if as_json:
        print_json([result.as_dict() for result in results])
    else:
        rows = [
            (
                result.status,
                _name(result),
                _amount(result.value, result.unit),
                _amount(result.threshold, result.unit),
                f"{result.took_s:.2f}",
                _why(result),
            )
            for result in results
        ]
        print_table(("", "monitor", "value", "error above", "took s", "why"), rows)
    if any(
        result.status == "error" or (result.status == "unknown" and result.reason != "low_base") for result in results
    ):
        raise typer.Exit(1)


@app.command("list")
def list_(*, as_json: AsJson = False) -> None:
    """List the monitors in the settings. Measures nothing."""
    from mindguard.monitors.sources import connection_id
    from mindguard.settings import load_settings

    settings = load_settings()
    if as_json:
        print_json([monitor.model_dump(mode="json") for monitor in settings.monitors])
        return
    rows = [
        (
            monitor.name,
            monitor.kind,
            connection_id(monitor, settings) or "",
            "" if monitor.warn is None else _amount(monitor.warn, monitor.unit),
            _amount(monitor.error, monitor.unit),
            monitor.severity,
            monitor.query or monitor.promql or monitor.url or " ".join((monitor.group or "", *monitor.topics)),
        )
        for monitor in settings.monitors
    ]
    print_table(("monitor", "kind", "connection", "warn above", "error above", "", "measures"), rows)


@app.command()
def history(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A monitor, or checker:DAG for the runs of a monitoring DAG.")
    ],
    hours: Annotated[float, typer.Option(min=0, help="Number of hours to look back.")] = 1,
    *,
    as_json: AsJson = False,
) -> None:
    """Show what a monitor has measured, oldest first."""
    from mindguard.monitors.run import choose
    from mindguard.settings import load_settings

    settings = load_settings()
    if not name.startswith("checker:"):
        choose(settings, [name])
    results = _store(settings).history(name, since=datetime.now(UTC) - timedelta(hours=hours))
    if as_json:
        print_json([result.as_dict() for result in results])
        return
    rows = [
        (
            f"{result.at.astimezone(settings.zone):%m-%d %H:%M:%S}",
            result.status,
            result.dimension,
            _amount(result.value, result.unit),
            _why(result),
        )
        for result in results
    ]
    print_table((f"time ({settings.timezone})", "", "dimension", "value", "why"), rows)


def _store(settings: Settings) -> MonitorStore:
    from mindguard.connections import from_environment
    from mindguard.database.session import OpsDatabase
    from mindguard.monitors.store import MonitorStore

    return MonitorStore.of(OpsDatabase.of(from_environment(settings.connections.ops)), settings)


def _name(result: Result) -> str:
    return f"{result.monitor} [{result.dimension}]" if result.dimension else result.monitor


def _amount(value: float | None, unit: str) -> str:
    return "" if value is None else amount(value, unit)


def _why(result: Result) -> str:
    skew = "" if result.skew_s is None else f"the source's clock differs by {result.skew_s:.0f} s"
    words = (result.reason.replace("_", " "), result.cause.replace("_", " "), result.note, skew)
    return ": ".join(word for word in words if word)
