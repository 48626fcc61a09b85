"""Commands on who is on duty: `mindguard rota who | check | ics`."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from mindguard.cli.output import AsJson, print_json, print_table
from mindguard.errors import SettingsError

if TYPE_CHECKING:
    from mindguard.alerts.rota.rota import Rota

_SHOWN_IN_LINE = 5

_WORK_S = 30.0
"""Processor time in seconds for a calendar: more than an alert has, since a year may be asked for."""

app = typer.Typer(no_args_is_help=True)


@app.command()
def who(
    at: Annotated[str, typer.Option("--at", help="Time, for instance 2026-10-01T09:00. Default: now.")] = "",
    *,
    as_json: AsJson = False,
) -> None:
    """Show who is on duty and who is called next. The exit status is 1 if nobody is on duty."""
    from mindguard.alerts.rota.rota import next_in_line, on_duty, vacancy

    rota = _rota()
    moment = _moment(at, rota)
    duty = on_duty(rota, moment)
    line = [person for step in range(_SHOWN_IN_LINE) for person in next_in_line(rota, moment, step)]
    names = list(dict.fromkeys(person.name for person in line))
    if as_json:
        print_json(
            {
                "at": moment.isoformat(),
                "shift": duty.shift,
                "since": duty.since.isoformat(),
                "until": duty.until.isoformat(),
                "people": [asdict(person) for person in duty.people],
                "declined": list(duty.declined),
                "whole_group": duty.vacant,
                "called_in_order": names,
            }
        )
    elif duty.people:
        typer.echo(f"{duty.shift}  {_time(duty.since)} to {_time(duty.until)} ({rota.zone})")
        print_table(("", "name", "feishu", "phone"), [(p.role, p.name, p.feishu_id, p.phone) for p in duty.people])
    if not as_json:
        everyone = "the whole group" if duty.vacant else "nobody"
        typer.echo(f"called in this order: {', '.join(names) or everyone}")
    if not duty.people:
        typer.echo(f"mindguard: {vacancy(duty)} from {_time(duty.since)} to {_time(duty.until)}", err=True)
        raise typer.Exit(1)


@app.command()
def check(
    days: Annotated[int, typer.Option("--days", min=1, max=366, help="Number of days to look ahead.")] = 7,
    *,
    as_json: AsJson = False,
) -> None:
    """Find times with nobody on duty, overlapping shifts, or an unknown person.

    The exit status is 1 if there are any.
    """
    from mindguard.alerts.rota.rota import gaps, unpublished, unpublished_years

    rota = _rota()
    start = _now(rota)
    found = gaps(rota, start, days)
    years = unpublished_years(rota, start, days)
    if as_json:
        print_json(
            {
                "from": start.isoformat(),
                "days": days,
                "gaps": [
                    asdict(gap) | {"begins": gap.begins.isoformat(), "ends": gap.ends.isoformat()} for gap in found
                ],
                "unpublished_years": years,
            }
        )
    elif found:
        rows = [(gap.kind, _time(gap.begins), _time(gap.ends), gap.text) for gap in found]
        print_table(("", f"from ({rota.zone})", "to", "what"), rows)
    else:
        typer.echo(f"every minute of {days} days from {_time(start)} has somebody on duty")
    for year in years:
        typer.echo(f"warning: {unpublished(year)}", err=True)
    if found:
        raise typer.Exit(1)


@app.command()
def ics(days: Annotated[int, typer.Option("--days", min=1, max=366, help="Number of days to write.")] = 30) -> None:
    """Write everybody's shifts as an iCal calendar to standard output."""
    from mindguard.alerts.rota.ical import to_ical

    rota = _rota()
    start = _now(rota)
    typer.echo(to_ical(rota, start, start + timedelta(days=days), now=start), nl=False)


def _rota() -> Rota:
    from mindguard.alerts.rota.ical import load_rota
    from mindguard.settings import load_settings

    rota = load_rota(load_settings(), work_s=_WORK_S)
    if rota is None:
        raise SettingsError("the settings have no rota", hint="write one as docs/rota.md shows")
    return rota


def _now(rota: Rota) -> datetime:
    return datetime.now(UTC).astimezone(rota.zone).replace(second=0, microsecond=0)


def _moment(written: str, rota: Rota) -> datetime:
    if not written:
        return _now(rota)
    try:
        moment = datetime.fromisoformat(written)
    except ValueError:
        raise typer.BadParameter(f"{written!r} is not a time; write for instance 2026-10-01T09:00") from None
    return moment.astimezone(rota.zone) if moment.tzinfo else moment.replace(tzinfo=rota.zone)


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M}"
