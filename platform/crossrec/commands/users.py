"""`crossrec users`: erase users, list what was erased, keep pseudonyms in place of ids.

Leaves to others: the work (serving/erasure.py, data/pseudonyms.py).
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import Annotated

import typer

from crossrec import verbs
from crossrec.commands.output import AsJson, Commands, OneDomain, out, print_json, print_table
from crossrec.errors import RequestError

app = typer.Typer(cls=Commands, no_args_is_help=True)


@app.command()
def erase(
    domain: OneDomain,
    user: Annotated[
        str, typer.Argument(metavar="USER", help="User id; - reads it from standard input.")
    ],
    as_json: AsJson = False,
) -> None:
    """Erase a user: feedback, stored history, identity; says what remains in trained weights.

    By the exact id, here and in running services. A later import leaves the user out.

    \b
    crossrec users erase movies 196
    """
    user_id = sys.stdin.readline().rstrip("\n") if user == "-" else user
    if not user_id:
        raise RequestError("got no user id; expected one, as an argument or on standard input")
    answer = verbs.erase_user(domain, user_id)
    if as_json:
        print_json(answer.model_dump())
        return
    places = [f"{n:,} rows of {name}" for name, n in answer.tables.items()]
    places += [f"the history in release {version}" for version in answer.releases]
    out.print("removed: " + ", ".join([f"{answer.n_events:,} feedback events", *places]))
    out.print(f"remains: {answer.remains}", markup=False)


@app.command()
def erased(domain: OneDomain, as_json: AsJson = False) -> None:
    """When users were erased, and which releases were trained with them; not who they were."""
    found = verbs.erasures(domain)
    if as_json:
        print_json([vars(one) for one in found])
        return
    rows = [(_date(one.erased_at), one.n_events, ", ".join(one.releases)) for one in found]
    print_table(("erased (UTC)", "events", "releases trained with them"), rows, "nobody was erased")


@app.command()
def pseudonymise() -> None:
    """Keep keyed hashes in place of user ids from now on: in imports, feedback and answers.

    Callers go on with their own ids. The key is in users.json of the home: who has it can tell
    whose pseudonym is whose, and without it nobody is known again. Data are imported and trained
    again, so that releases know the pseudonyms; feedback and answers kept under ids must be gone.
    """
    names = verbs.pseudonymise()
    out.print("user ids are pseudonymised from now on", markup=False)
    for name in names:
        out.print(
            f"next: crossrec data import {name} --force && crossrec train {name}", markup=False
        )


def _date(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M}"
