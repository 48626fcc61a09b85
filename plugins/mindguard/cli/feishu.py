"""Commands that show and send messages: `mindguard feishu preview | send`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from mindguard.cli.output import AsJson, print_json
from mindguard.errors import MindGuardError

app = typer.Typer(no_args_is_help=True, help="See and send sample cards.")

_CASE_HELP = "Name of a sample; a wrong one lists them."


@app.command()
def preview(
    case: Annotated[str, typer.Argument(metavar="CASE", help=_CASE_HELP)],
    as_json: AsJson = False,
) -> None:
    """Print a sample alert as text, and as the card's JSON with --json. Sends nothing."""
    from mindguard.feishu.cases import preview as render
    from mindguard.settings import load_settings

    settings = load_settings()
    text, card = render(case, settings.locale, zone=settings.zone)
    typer.echo(card if as_json else text)


@app.command()
def send(
    case: Annotated[str, typer.Argument(metavar="[CASE]", help=_CASE_HELP)] = "",
    text: Annotated[str, typer.Option(help="Send this line instead of a sample.")] = "",
    as_json: AsJson = False,
) -> None:
    """Send a sample alert, or a line of text, by the configured bot or app, and say which form arrived."""
    from mindguard.alerts.alert import Digest
    from mindguard.connections import from_environment
    from mindguard.feishu.cases import sample
    from mindguard.feishu.transport import transport_of
    from mindguard.settings import load_settings

    if bool(case) == bool(text):
        raise MindGuardError("say what to send", hint="either a sample's name or --text with a line")
    settings = load_settings()
    transport = transport_of(settings, from_environment)
    now = datetime.now(UTC)
    uuid = f"by hand {now.isoformat()}"
    if text:
        sent = transport.say(text, uuid=uuid, now=now)
    else:
        shown = sample(case, settings.locale)
        if isinstance(shown, Digest):
            sent = transport.digest(shown, uuid=uuid, now=now)
        else:
            sent = transport.send(shown, uuid=uuid, now=now)
    if as_json:
        print_json({"case": case or None, "delivered_as": sent.form, "message_id": sent.message_id})
    else:
        typer.echo(f"delivered {case or 'the text'} as {sent.form}")
