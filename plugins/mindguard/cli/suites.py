"""Commands for suites and the event rollup: `mindguard suites …` and `mindguard volume …`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mindguard.cli.output import AsJson, print_json, print_outcome, print_table
from mindguard.errors import MindGuardError, SettingsError

if TYPE_CHECKING:
    import pandas as pd

    from mindguard.settings import Settings
    from mindguard.volume.source import EventSource
    from mindguard.volume.suites import Suite, ValidationResult

app = typer.Typer(no_args_is_help=True)
volume_app = typer.Typer(no_args_is_help=True)

_DAY_HELP = "The day to judge. Default: yesterday."


@app.command()
def lint(*, as_json: AsJson = False) -> None:
    """Check every file in expectations/ as Great Expectations will read it. Needs no connection.

    If ClickHouse is configured, the names of key events are compared with those that events have. A warning does not
    change the exit status.
    """
    from mindguard.settings import last_read, load_settings
    from mindguard.volume.names import refuse_unknown_names
    from mindguard.volume.shares import shares_without_base
    from mindguard.volume.suites import SuiteUnsound, build, own_suites, read_suite

    settings = load_settings()
    suites: list[Suite] = []
    wrong: list[str] = []
    for path in own_suites(settings):
        try:
            suite = read_suite(path)
            refuse_unknown_names(suite, settings)  # before what takes seconds to import
            build(suite)
        except MindGuardError as error:
            wrong.append(str(error))
        else:
            suites.append(suite)
    warnings = {each.name: list(shares_without_base(each)) for each in suites}
    if as_json:
        print_json(
            [
                {"suite": each.name, "expectations": len(each.expectations), "warnings": warnings[each.name]}
                for each in suites
            ]
        )
    elif not suites and not wrong:
        typer.echo(f"no suites: {last_read()} says `suites: none`; docs/suites.md says how to write one")
    else:
        print_table(("suite", "expectations"), [(each.name, str(len(each.expectations))) for each in suites])
        for line in chain.from_iterable(warnings.values()):
            typer.echo(f"warning: {line}", err=True)
    for line in _about_key_events(settings):
        typer.echo(line, err=True)
    if wrong:
        raise SuiteUnsound("; ".join(wrong))


def _about_key_events(settings: Settings) -> Iterator[str]:
    """Yield a line for each key event that no event is called, or one that nobody could be asked."""
    from mindguard.connections import from_environment
    from mindguard.errors import ConnectionMissing
    from mindguard.volume.registry import seen_names, unseen_events

    now = datetime.now(UTC)
    try:
        seen = seen_names(settings, from_environment, now)
    except ConnectionMissing as error:
        yield f"note: the names of key events were not compared with ClickHouse: {error.message}"
    except MindGuardError as error:
        yield f"warning: the names of key events could not be compared with ClickHouse: {error}"
    else:
        yield from (f"warning: key_events: {line}" for line in unseen_events(settings, seen, now))


@app.command()
def run(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A suite; `mindguard suites lint` lists them.")],
    day: Annotated[str, typer.Option("--date", metavar="DATE", help=_DAY_HELP)] = "",
    *,
    as_json: AsJson = False,
) -> None:
    """Judge one day by one suite, without notifying anybody.

    The exit status is 1 if an expectation failed or could not be checked.
    """
    from mindguard.connections import from_environment
    from mindguard.settings import load_settings
    from mindguard.volume.days import Moment
    from mindguard.volume.frames import Frames
    from mindguard.volume.names import sound_suite
    from mindguard.volume.suites import validate

    settings = load_settings()
    suite = sound_suite(name, settings)
    now = datetime.now(UTC)
    judged_day = _judged_day(day, now, settings)
    frames = Frames(settings, Moment(judged_day, now), resolve=from_environment)
    frame = frames.of(suite)
    judged = validate(suite, frame)
    if as_json:
        print_json({"date": judged_day.isoformat(), **_as_dict(judged)})
    else:
        _print_failures(_failing_rows(judged_day, suite, judged, frame))
        typer.echo(
            f"{name} on {judged_day}: {judged.rows} rows, {judged.evaluated} expectations, {judged.failed} failed"
        )
    if judged.failures:
        raise typer.Exit(1)


@app.command()
def report(
    output: Annotated[Path, typer.Option("--output", metavar="FILE", help="Where to write the page.")],
    day: Annotated[str, typer.Option("--date", metavar="DATE", help=_DAY_HELP)] = "",
) -> None:
    """Judge one day by all suites and write the day's page as one HTML file, without notifying anybody.

    The exit status is 1 if an expectation failed or could not be checked.
    """
    from mindguard.connections import from_environment
    from mindguard.jobs.event_volume import groups, judge_day
    from mindguard.settings import load_settings
    from mindguard.volume.days import Moment
    from mindguard.volume.page.render import render_page
    from mindguard.volume.run import sections

    settings, now = load_settings(), datetime.now(UTC)
    moment = Moment(_judged_day(day, now, settings), now)
    done = judge_day([name for group in groups(settings) for name in group], settings, from_environment, moment)
    found = [each.to_json() for each in sections(done, settings)]
    output.write_text(render_page(found, day=moment.day, locale=settings.locale, zone=settings.zone), "utf-8")
    for each in done.checked:
        typer.echo(f"{each.suite.name}: {each.result.evaluated} expectations, {each.result.failed} failed")
    typer.echo(f"written {output}")
    done.check()
    if any(each.result.failures for each in done.checked):
        raise typer.Exit(1)


@app.command()
def backtest(
    days: Annotated[int, typer.Option("--days", min=1, max=400, help="Number of closed days to replay.")] = 60,
    *,
    as_json: AsJson = False,
) -> None:
    """Replay past days and list what each suite over event volume would have found, without notifying anybody."""
    from mindguard.volume.backtest import backtest as replayed
    from mindguard.volume.suites import own_suites, read_suite

    settings, source = _settings_and_source()
    suites = [each for each in map(read_suite, own_suites(settings)) if each.meta.frame]
    now = datetime.now(UTC)
    last = now.astimezone(settings.zone).date() - timedelta(days=1)
    found: list[tuple[date, ValidationResult]] = []
    rows: list[tuple[str, ...]] = []
    first = last - timedelta(days=days - 1)
    for day, suite, judged, frame in replayed(suites, source, settings, first=first, last=last, as_of=now):
        found.append((day, judged))
        rows += _failing_rows(day, suite, judged, frame)
    if as_json:
        print_json([{"date": day.isoformat(), **_as_dict(judged)} for day, judged in found])
        return
    _print_failures(rows)
    for suite in suites:
        own = [judged for _, judged in found if judged.suite == suite.name]
        levels = {level: sum(each.severity == level for each in own) for level in ("critical", "warning", "info")}
        counts = ", ".join(f"{count} {level}" for level, count in levels.items())
        typer.echo(f"{suite.name}: of {len(own)} days {counts}")


@app.command()
def new(
    event: Annotated[str, typer.Argument(metavar="EVENT", help="Its name in the table of events.")],
    *,
    unseen: Annotated[bool, typer.Option("--unseen", help="Add it although no event may have this name yet.")] = False,
) -> None:
    """Watch one more key event: add it to `key_events` in the settings file. Everything else in the file is kept.

    ClickHouse is asked whether there are events with this name.
    """
    from mindguard.connections import from_environment
    from mindguard.settings import load_settings, settings_path
    from mindguard.settings.edit import add_key_event, own_settings
    from mindguard.volume.registry import seen_names
    from mindguard.volume.registry import unseen as no_such_event

    settings, path = load_settings(), own_settings(settings_path())
    if event in {each.name for each in settings.key_events}:
        raise SettingsError(f"{event} is already among key_events", hint=f"see {path}")
    if not event.strip() or not event.isprintable():
        raise SettingsError(f"{event!r:.80} is not the name of an event")
    if not unseen:
        try:
            seen = seen_names(settings, from_environment, datetime.now(UTC))
        except MindGuardError as error:
            raise SettingsError(
                f"whether events are called {event!r:.80} could not be found out: {error.message}",
                hint="`--unseen` adds the name without asking",
            ) from error
        if event not in seen:
            raise SettingsError(no_such_event(event, seen), hint="`--unseen` adds it all the same")
    add_key_event(path, event)
    typer.echo(
        f"{event} is watched from the next check on that reads {path}; set its since, tolerance, min_base, owner and "
        "runbook there"
    )


@volume_app.command()
def install(*, as_json: AsJson = False) -> None:
    """Create the rollup and its view beside the raw events, and fill the rollup. May be repeated."""
    from mindguard.volume.install import install as make

    _, source = _settings_and_source()
    months = make(source)
    text = f"{source.settings.table}_rollup counts {len(months)} month(s): {', '.join(months) or 'no event yet'}"
    print_outcome({"months": months}, text, as_json=as_json)


@volume_app.command()
def reconcile(
    days: Annotated[int, typer.Option("--days", min=1, max=60, help="Number of closed days to compare.")] = 2,
    *,
    as_json: AsJson = False,
) -> None:
    """Count the events of closed days in the rollup and in the raw table. The exit status is 1 if they differ."""
    from mindguard.volume.install import reconcile as compare
    from mindguard.volume.install import require_equal

    settings, source = _settings_and_source()
    today = datetime.now(UTC).astimezone(settings.zone).date()
    found = compare(source, [today - timedelta(days=back) for back in range(days, 0, -1)])
    if as_json:
        print_json([asdict(each) | {"day": each.day.isoformat()} for each in found])
    else:
        rows = [(str(e.day), f"{e.raw_events:,}", f"{e.rollup_events:,}", f"{e.duplicates:,}") for e in found]
        print_table(("day", "raw events", "in the rollup", "stored more than once"), rows)
    require_equal(found)


def _settings_and_source() -> tuple[Settings, EventSource]:
    from mindguard.connections import from_environment
    from mindguard.settings import load_settings
    from mindguard.volume.source import EventSource

    settings = load_settings()
    return settings, EventSource.of(settings, from_environment)


def _judged_day(written: str, now: datetime, settings: Settings) -> date:
    if not written:
        return now.astimezone(settings.zone).date() - timedelta(days=1)
    try:
        return date.fromisoformat(written)
    except ValueError:
        raise typer.BadParameter(f"{written!r} is not a date; write for instance 2026-10-01") from None


def _as_dict(judged: ValidationResult) -> dict[str, Any]:
    return asdict(judged) | {"failed": judged.failed}


def _failing_rows(day: date, suite: Suite, judged: ValidationResult, frame: pd.DataFrame) -> Iterator[tuple[str, ...]]:
    from mindguard.volume.words import in_words, rows_by_key

    rows = rows_by_key(suite, frame)
    for each in judged.failures:
        found = in_words(suite, each, rows.get(each.key, {}))
        yield str(day), suite.name, each.severity, ", ".join(each.key) or "(all)", each.expectation, found


def _print_failures(rows: Iterable[tuple[str, ...]]) -> None:
    if rows := list(rows):
        print_table(("day", "suite", "severity", "row", "expectation", "found"), rows)
