"""`mindguard keys`: create and rotate the key ring of client-side encryption. Nothing is stored anywhere."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from mindguard.cli.output import AsJson

app = typer.Typer(no_args_is_help=True)

Label = Annotated[str, typer.Argument(metavar="LABEL", help="Name of the key, for instance its period: 2026-11.")]


@app.command()
def new(label: Label, *, as_json: AsJson = False) -> None:
    """Print a new key ring. The line that is printed is the secret itself.

    Store it as the password of the connection `connections.keys` (or in MINDGUARD_KEYS, or in a file that
    MINDGUARD_KEYS_FILE names), and keep it in two more safe places outside the bucket: without it nothing can be
    restored.
    """
    from mindguard.snapshots.storage.encryption import new_key_ring

    _print(new_key_ring(label), as_json=as_json)


@app.command()
def rotate(label: Label, *, as_json: AsJson = False) -> None:
    """Print the present key ring with a new current key. The older keys stay in it and open what they encrypted.

    Replace the old line with the new one wherever it is stored. To make the snapshots of a period unreadable for
    good, remove the period's key from every copy of the ring.
    """
    from mindguard.connections import from_environment
    from mindguard.settings import load_settings
    from mindguard.snapshots.storage.encryption import new_key_ring, read_key_ring

    ring = read_key_ring(load_settings().connections.keys, from_environment)
    _print(new_key_ring(label, ring), as_json=as_json)


def _print(ring: str, *, as_json: bool) -> None:
    """Print the ring, which is JSON in any case; without --json also explain what to do with it."""
    typer.echo(ring)
    if not as_json:
        typer.echo(
            f"the current key is {json.loads(ring)['current']}; this line is secret and is not stored anywhere yet: "
            "put it where the key ring is read from, and keep it in two safe places outside the bucket",
            err=True,
        )
