"""Commands that preview and send messages: `mindguard feishu preview | send`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from mindguard.cli.output import AsJson, print_outcome
from mindguard.errors import MindGuardError

app = typer.Typer(no_args_is_help=True)

_CASE_HELP = "Name of a sample. An unknown name lists all of them."


@app.command()
def preview(
    case: Annotated[str, typer.Argument(metavar="CASE", help=_CASE_HELP)],
    *,
    as_json: AsJson = False,
) -> None:
    """Print a sample alert as text, or with --json the JSON of its card. Sends nothing."""
    from mindguard.feishu.cases import preview as render
    from mindguard.settings import load_settings

    settings = load_settings()
    text, card = render(case, settings.locale, zone=settings.zone)
    typer.echo(card if as_json else text)


@app.command()
def send(
    case: Annotated[str, typer.Argument(metavar="[CASE]", help=_CASE_HELP)] = "",
    text: Annotated[str, typer.Option(help="Send this line instead of a sample.")] = "",
    *,
    as_json: AsJson = False,
) -> None:
    """Send a sample alert or a line of text through the configured bot or app, and print how it was delivered.

    The sample says that it is one, mentions nobody, and links to the page of incidents alone, if Airflow's address is
    known (`alerts.acknowledge_base_url`).
    """
    from mindguard.alerts.alert import Digest
    from mindguard.connections import from_environment
    from mindguard.feishu.cases import to_send
    from mindguard.feishu.transport import transport_of
    from mindguard.settings import load_settings

    if bool(case) == bool(text):
        raise MindGuardError("it is not clear what to send", hint="give either a sample's name or --text")
    settings = load_settings()
    transport = transport_of(settings, from_environment)
    now = datetime.now(UTC)
    uuid = f"by hand {now.isoformat()}"
    if text:
        sent = transport.say(text, uuid=uuid, now=now)
    else:
        shown = to_send(case, settings.locale, pages=settings.alerts.acknowledge_base_url)
        if isinstance(shown, Digest):
            sent = transport.digest(shown, uuid=uuid, now=now)
        else:
            sent = transport.send(shown, uuid=uuid, now=now)
    facts = {"case": case or None, "delivered_as": sent.form, "message_id": sent.message_id}
    print_outcome(facts, f"delivered {case or 'the text'} as {sent.form}", as_json=as_json)
