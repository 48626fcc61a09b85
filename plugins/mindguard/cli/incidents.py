"""Commands for incidents: `mindguard incidents list | show | ack | resolve | note | review | export | retry`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mindguard.cli.output import AsJson, By, print_json, print_outcome, print_table

if TYPE_CHECKING:
    from mindguard.alerts.incidents.models import Incident, TimelineEntry
    from mindguard.alerts.incidents.store import IncidentStore
    from mindguard.settings import Settings

app = typer.Typer(no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="ID", help="An incident, for instance I-12.")]


@app.command("list")
def list_(
    *,
    everything: Annotated[bool, typer.Option("--all", help="Also list resolved incidents.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="Number of incidents to list, newest first.")] = 100,
    as_json: AsJson = False,
) -> None:
    """List unresolved incidents, newest first, and the notifications of them that Feishu refused."""
    settings, store = _settings_and_store()
    states = ("open", "acknowledged", "resolved") if everything else ("open", "acknowledged")
    found, refused = store.list(states=states, limit=limit), store.undeliverable()
    if as_json:
        print_json([_facts(incident) | {"not_delivered": refused.get(incident.id, "")} for incident in found])
        return
    rows = [
        (
            incident.name,
            incident.severity,
            f"{incident.state}, silenced" if incident.silenced_by else incident.state,
            f"{incident.opened_at.astimezone(settings.zone):%m-%d %H:%M}",
            str(incident.occurrences),
            incident.acknowledged_by or incident.escalated_to,
            _line(incident) + (f" – NOT DELIVERED: {refused[incident.id]}" if incident.id in refused else ""),
        )
        for incident in found
    ]
    print_table(("id", "", "state", f"since ({settings.timezone})", "times", "who", "what"), rows)


@app.command()
def show(name: Name, *, as_json: AsJson = False) -> None:
    """Show one incident with its timeline."""
    from mindguard.alerts.incidents.timeline import shown_timeline

    settings, store = _settings_and_store()
    incident = store.get(name)
    if as_json:
        print_json(_facts(incident) | {"timeline": [_entry(entry) for entry in incident.timeline]})
        return
    typer.echo(f"{incident.name}  {incident.severity}  {incident.state}  {_line(incident)}")
    for fact in incident.alert.facts:
        typer.echo(f"  {fact.name}: {fact.value}" + (f" ({fact.expected})" if fact.expected else ""))
    for label in ("impact", "cause", "remedy"):
        if text := getattr(incident, label):
            typer.echo(f"  {label}: {text}")
    rows = [
        (f"{entry.at.astimezone(settings.zone):%Y-%m-%d %H:%M:%S}", entry.what, entry.by, entry.text)
        for entry in shown_timeline(incident, settings.locale)
    ]
    print_table((f"time ({settings.timezone})", "what", "who", "detail"), rows)


@app.command()
def ack(name: Name, by: By, *, as_json: AsJson = False) -> None:
    """Acknowledge an incident, so that nobody else is called for it."""
    _, store = _settings_and_store()
    incident = store.acknowledge(name, by=by, now=datetime.now(UTC))
    text = f"{incident.name} is acknowledged by {incident.acknowledged_by}"
    print_outcome(_facts(incident), text, as_json=as_json)


@app.command()
def resolve(
    name: Name,
    by: By,
    cause: Annotated[str, typer.Option(help="Why it happened.")] = "",
    remedy: Annotated[str, typer.Option(help="What ended it.")] = "",
    impact: Annotated[str, typer.Option(help="Who noticed it, and how.")] = "",
    *,
    as_json: AsJson = False,
) -> None:
    """Resolve an incident, or add cause, remedy and impact to one that is already resolved."""
    _, store = _settings_and_store()
    incident = store.resolve(name, by=by, now=datetime.now(UTC), cause=cause, remedy=remedy, impact=impact)
    print_outcome(_facts(incident), f"{incident.name} is resolved", as_json=as_json)


@app.command()
def note(name: Name, text: Annotated[str, typer.Argument(help="The line to add.")], by: By) -> None:
    """Add a line to an incident's timeline."""
    _, store = _settings_and_store()
    typer.echo(f"noted in {store.note(name, by=by, text=text, now=datetime.now(UTC)).name}")


@app.command()
def review(
    name: Name,
    by: By,
    action: Annotated[
        list[str] | None, typer.Option(help="An action, as TEXT|OWNER or TEXT|OWNER|DUE. May be repeated.")
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Close the review of an incident and record the actions that were decided in it."""
    from mindguard.alerts.incidents.store import ActionItem

    actions = []
    for written in action or ():
        parts = [part.strip() for part in written.split("|")]
        if len(parts) not in (2, 3) or not all(parts[:2]):
            raise typer.BadParameter(f"{written!r} is not TEXT|OWNER or TEXT|OWNER|DUE", param_hint="--action")
        actions.append(ActionItem(*parts))
    _, store = _settings_and_store()
    incident = store.review(name, by=by, now=datetime.now(UTC), actions=actions)
    print_outcome(_facts(incident), f"{incident.name} is reviewed, {len(actions)} actions", as_json=as_json)


@app.command()
def export(
    name: Name, to: Annotated[Path | None, typer.Option(help="File to write. Default: standard output.")] = None
) -> None:
    """Write the post-mortem of an incident as Markdown, in the language of the settings."""
    from mindguard.alerts.postmortem import postmortem
    from mindguard.errors import MindGuardError

    settings, store = _settings_and_store()
    document = postmortem(store.get(name), locale=settings.locale, zone=settings.zone)
    if to is None:
        typer.echo(document, nl=False)
        return
    try:
        to.write_text(document, "utf-8")
    except OSError as error:
        raise MindGuardError(f"cannot write {to}: {error.strerror}") from error
    typer.echo(f"written to {to}")


@app.command()
def retry() -> None:
    """Let the next delivery send again what Feishu refused. Correct the cause first."""
    _, store = _settings_and_store()
    typer.echo(f"{store.retry_dead(now=datetime.now(UTC))} notifications will be sent again")


def _settings_and_store() -> tuple[Settings, IncidentStore]:
    from mindguard.alerts.incidents.store import IncidentStore
    from mindguard.connections import from_environment
    from mindguard.settings import load_settings

    settings = load_settings()
    return settings, IncidentStore.of(from_environment(settings.connections.ops))


def _line(incident: Incident) -> str:
    return f"{incident.alert.title} [{incident.alert.subject}]"


def _facts(incident: Incident) -> dict[str, Any]:
    def moment(at: datetime | None) -> str | None:
        return at.isoformat() if at else None

    return {
        "id": incident.name,
        "state": incident.state,
        "severity": incident.severity,
        "title": incident.alert.title,
        "subject": incident.alert.subject,
        "source": incident.source,
        "fingerprint": incident.fingerprint,
        "occurrences": incident.occurrences,
        "flaps": incident.flaps,
        "silence": f"S-{incident.silenced_by}" if incident.silenced_by else "",
        "opened_at": moment(incident.opened_at),
        "last_seen_at": moment(incident.last_seen_at),
        "acknowledged_by": incident.acknowledged_by,
        "acknowledged_at": moment(incident.acknowledged_at),
        "escalated_to": incident.escalated_to,
        "resolved_at": moment(incident.resolved_at),
        "resolved_by": incident.resolved_by,
        "impact": incident.impact,
        "cause": incident.cause,
        "remedy": incident.remedy,
        "reviewed_at": moment(incident.reviewed_at),
        "actions": incident.actions,
    }


def _entry(entry: TimelineEntry) -> dict[str, str]:
    return {"at": entry.at.isoformat(), "kind": entry.kind, "by": entry.by, "text": entry.text}
