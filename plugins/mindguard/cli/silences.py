"""Commands for planned work: `mindguard silences add | list | end`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mindguard.cli.output import AsJson, By, print_json, print_outcome, print_table

if TYPE_CHECKING:
    from mindguard.alerts.incidents.models import Silence
    from mindguard.alerts.incidents.silences import SilenceStore
    from mindguard.settings import Settings

app = typer.Typer(no_args_is_help=True)


@app.command()
def add(
    match: Annotated[
        list[str],
        typer.Option(
            help="FIELD=VALUE, where * stands for any text; repeat it to narrow the silence. Fields: source, monitor, "
            "dimension, suite, table, dag, task, subject, severity."
        ),
    ],
    to: Annotated[str, typer.Option(help="End: +2h (after --from), +1d, or 2026-10-01T11:00+08:00.")],
    why: Annotated[str, typer.Option(help="What work is planned.")],
    by: By,
    from_: Annotated[str, typer.Option("--from", help="Beginning: now, +2h, or 2026-10-01T09:00+08:00.")] = "now",
    *,
    including_p0: Annotated[bool, typer.Option("--including-p0", help="Silence P0 too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Silence incidents for a time: nobody is notified of them until it is over. They are recorded all the same.

    A time without a zone is in the zone of the settings. What is unresolved when the silence ends is notified then.
    """
    from mindguard.alerts.matchers import moment_of, parse_matchers

    settings, store = _settings_and_store()
    now = datetime.now(UTC)
    starts_at = moment_of(from_, now=now, zone=settings.zone)
    silence = store.add(
        parse_matchers(match, including_p0=including_p0),
        starts_at=starts_at,
        ends_at=moment_of(to, now=now, zone=settings.zone, after=starts_at),
        by=by,
        why=why,
        now=now,
        longest=timedelta(hours=settings.alerts.silence_max_hours),
        including_p0=including_p0,
    )
    begins, ends = (f"{at.astimezone(settings.zone):%Y-%m-%d %H:%M}" for at in (silence.starts_at, silence.ends_at))
    text = f"{silence.name} silences {_words(silence)} from {begins} to {ends} ({settings.timezone})"
    print_outcome(_facts(silence, now), text, as_json=as_json)
    if unknown := _unknown_monitor(silence, settings):
        # Only a note: another machine's settings may have it.
        typer.echo(f"note: no monitor in these settings is called {unknown}", err=True)


@app.command("list")
def list_(
    *,
    everything: Annotated[bool, typer.Option("--all", help="Also list silences that are over.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="Number of silences to list, newest first.")] = 100,
    as_json: AsJson = False,
) -> None:
    """List silences that are active or coming, newest first."""
    settings, store = _settings_and_store()
    now = datetime.now(UTC)
    found = store.list(now=now, everything=everything, limit=limit)
    if as_json:
        print_json([_facts(silence, now) for silence in found])
        return
    rows = [
        (
            silence.name,
            silence.state(now),
            f"{silence.starts_at.astimezone(settings.zone):%m-%d %H:%M}",
            f"{silence.ends_at.astimezone(settings.zone):%m-%d %H:%M}",
            silence.made_by,
            f"{silence.matched_at.astimezone(settings.zone):%m-%d %H:%M}" if silence.matched_at else "never",
            f"{_words(silence)} – {silence.why}" + (f" (ended by {silence.ended_by})" if silence.ended_by else ""),
        )
        for silence in found
    ]
    print_table(("id", "state", f"from ({settings.timezone})", "to", "by", "last used", "what and why"), rows)


@app.command()
def end(
    name: Annotated[str, typer.Argument(metavar="ID", help="A silence, for instance S-3.")],
    by: By,
    *,
    as_json: AsJson = False,
) -> None:
    """End a silence now. People are notified of what it silenced and is unresolved."""
    _, store = _settings_and_store()
    now = datetime.now(UTC)
    silence = store.end(name, by=by, now=now)
    print_outcome(_facts(silence, now), f"{silence.name} is over", as_json=as_json)


def _settings_and_store() -> tuple[Settings, SilenceStore]:
    from mindguard.alerts.incidents.silences import SilenceStore
    from mindguard.connections import from_environment
    from mindguard.database.session import OpsDatabase
    from mindguard.settings import load_settings

    settings = load_settings()
    return settings, SilenceStore(OpsDatabase.of(from_environment(settings.connections.ops)))


def _unknown_monitor(silence: Silence, settings: Settings) -> str:
    """Return the name of a monitor that the settings do not have; empty if they have it, or none is named."""
    from mindguard.alerts.matchers import REPORTED_BY_MONITORS, Matcher

    names = [*(monitor.name for monitor in settings.monitors), *REPORTED_BY_MONITORS]
    for each in silence.matchers:
        matcher = Matcher(each["field"], each["value"])
        if matcher.field == "monitor" and not matcher.matches({"monitor": names}):
            return matcher.value
    return ""


def _words(silence: Silence) -> str:
    words = " ".join(f"{each['field']}={each['value']}" for each in silence.matchers)
    return f"{words} (including P0)" if silence.including_p0 else words


def _facts(silence: Silence, now: datetime) -> dict[str, Any]:
    return {
        "id": silence.name,
        "state": silence.state(now),
        "matchers": silence.matchers,
        "from": silence.starts_at.isoformat(),
        "to": silence.ends_at.isoformat(),
        "including_p0": silence.including_p0,
        "made_by": silence.made_by,
        "made_at": silence.made_at.isoformat(),
        "why": silence.why,
        "ended_by": silence.ended_by,
        "matched_at": silence.matched_at.isoformat() if silence.matched_at else None,
    }
