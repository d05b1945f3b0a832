"""`crossrec keys`: make, list, rotate and revoke the API keys of the service.

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
    rate: Annotated[
        float | None, typer.Option(help="Requests a second at each replica; none: no limit.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a key and print it, this once: only its hash is kept.

    \b
    crossrec keys create shop --scope read --scope feedback
    crossrec keys create partner --rate 20
    """
    scopes = scope or ["read"]
    key = KeyRing().create(name, scopes, rate)
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
    rows = [
        (
            *(key.key_id, key.name, ", ".join(key.scopes), _date(key.created_at)),
            "" if key.requests_per_s is None else f"{key.requests_per_s:g}/s",
            "" if key.expires_at is None else _date(key.expires_at),
        )
        for key in keys
    ]
    columns = ("id", "name", "scopes", "created (UTC)", "rate", "ends (UTC)")
    print_table(columns, rows, "there is no key")


@app.command()
def rotate(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="See keys list.")],
    grace_hours: Annotated[float, typer.Option(help="How long the old key still works.")] = 24.0,
    as_json: AsJson = False,
) -> None:
    """Make a key that takes the place of another one, and print it; both work for a while.

    Running services know both from their next request on.

    \b
    crossrec keys rotate 1a2b3c4d --grace-hours 2
    """
    key = KeyRing().rotate(key_id, grace_hours * 3600)
    if as_json:
        print_json({"key": key, "instead_of": key_id})
        return
    out.print(key, markup=False)
    err.print(f"keep it: it cannot be shown again. The old one works for {grace_hours:g} h more.")


@app.command()
def revoke(key_id: Annotated[str, typer.Argument(metavar="ID", help="See keys list.")]) -> None:
    """Forget a key; running services refuse it from their next request on."""
    key = KeyRing().revoke(key_id)
    out.print(f"revoked {key.key_id} ({key.name})", markup=False)


def _date(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M}"
