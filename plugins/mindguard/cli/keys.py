"""`mindguard keys`: make and rotate the key ring of client-side encryption. Nothing is stored anywhere."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from mindguard.cli.output import AsJson

app = typer.Typer(no_args_is_help=True, help="Make and rotate the keys that snapshots are encrypted with.")

Label = Annotated[str, typer.Argument(metavar="LABEL", help="Names the key, for instance its period: 2026-11.")]


@app.command()
def new(label: Label, as_json: AsJson = False) -> None:
    """Print a new key ring: one line, the secret itself.

    Store it as the password of the connection `connections.keys` (or in MINDGUARD_KEYS, or in a file that
    MINDGUARD_KEYS_FILE names) and in two more safe places that are not the bucket: without it there is no restore.
    """
    from mindguard.snapshots.storage.encryption import new_key_ring

    _print(new_key_ring(label), as_json)


@app.command()
def rotate(label: Label, as_json: AsJson = False) -> None:
    """Print the present key ring with a new current key; the older ones stay in it and still open what they encrypted.

    Store it in place of the old line, wherever that is. To make a period's snapshots unreadable for good, remove its
    key from every copy of the ring.
    """
    from mindguard.connections import from_environment
    from mindguard.settings import load_settings
    from mindguard.snapshots.storage.encryption import new_key_ring, read_key_ring

    ring = read_key_ring(load_settings().connections.keys, from_environment)
    _print(new_key_ring(label, ring), as_json)


def _print(ring: str, as_json: bool) -> None:
    """The ring is JSON in any case; only people need to be told what to do with it."""
    typer.echo(ring)
    if not as_json:
        typer.echo(
            f"the current key is {json.loads(ring)['current']}; this line is secret and is stored nowhere yet: put it "
            "where the key ring is read from, and keep it in two safe places that are not the bucket",
            err=True,
        )
