"""`crossrec keys`: make, list and revoke the API keys of the service.

Leaves to others: storing and checking them (serving/auth.py).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from crossrec.commands.output import AsJson, Commands, err, out, print_json, print_table
from crossrec.serving.auth import SCOPES, KeyRing

app = typer.Typer(cls=Commands, no_args_is_help=True)


@app.command()
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Whose key it is.")],
    scope: Annotated[
        list[str] | None, typer.Option(help=f"One of {', '.join(SCOPES)}; repeatable.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a key and print it, this once: only its hash is kept.

    \b
    crossrec keys create shop --scope read --scope feedback
    """
    scopes = scope or ["read"]
    key = KeyRing().create(name, scopes)
    if as_json:
        print_json({"name": name, "scopes": scopes, "key": key})
        return
    out.print(key, markup=False)
    err.print("keep it: it cannot be shown again. Send it as 'Authorization: Bearer KEY'.")


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """All keys, without their secrets."""
    keys = KeyRing().list()
    if as_json:
        print_json([key.model_dump(exclude={"sha256"}) for key in keys])
        return
    rows = [(key.key_id, key.name, ", ".join(key.scopes), _date(key.created_at)) for key in keys]
    print_table(("id", "name", "scopes", "created (UTC)"), rows, "there is no key")


@app.command()
def revoke(key_id: Annotated[str, typer.Argument(metavar="ID", help="See keys list.")]) -> None:
    """Forget a key; running services refuse it from their next request on."""
    key = KeyRing().revoke(key_id)
    out.print(f"revoked {key.key_id} ({key.name})", markup=False)


def _date(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M}"
