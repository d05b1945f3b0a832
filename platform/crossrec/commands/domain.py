"""`crossrec domain`: list and look at domains; make one from your own files.

Leaves to others: what a domain's YAML may hold (domains/spec.py), guessing it (data/infer.py).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
import yaml

from crossrec import verbs
from crossrec.commands.output import (
    AsJson,
    Commands,
    OneDomain,
    err,
    out,
    print_json,
    print_table,
    sentence,
)
from crossrec.domains import load_domain
from crossrec.domains.registry import domain_files
from crossrec.errors import ConfigError

if TYPE_CHECKING:
    from crossrec.data.infer import Inference
    from crossrec.domains.spec import Domain

app = typer.Typer(cls=Commands, no_args_is_help=True)


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """All domains, built in and your own, with where their data come from.

    A file that cannot be read is named with the reason, after the others.
    """
    files = domain_files()
    domains, wrong = _readable(verbs.domain_names())
    if as_json:
        print_json(
            [domain.model_dump(mode="json") | {"file": files[domain.name]} for domain in domains]
        )
    else:
        rows = [(domain.name, domain.title, domain.task, domain.source.kind) for domain in domains]
        print_table(("domain", "title", "task", "source"), rows, "there is no domain")
    for reason in wrong:
        err.print(f"left out: {reason}", style="red", markup=False)


def _readable(names: list[str]) -> tuple[list[Domain], list[str]]:
    """The domains whose YAML can be read, and one sentence for each of the others."""
    domains: list[Domain] = []
    wrong: list[str] = []
    for name in names:
        try:
            domains.append(load_domain(name))
        except (ConfigError, OSError) as error:
            wrong.append(sentence(error))
    return domains, wrong


@app.command()
def show(domain: OneDomain, as_json: AsJson = False) -> None:
    """The YAML of one domain, defaults left out."""
    values = load_domain(domain).model_dump(mode="json", exclude_defaults=True)
    if as_json:
        print_json(values)
    else:
        typer.echo(yaml.safe_dump(values, sort_keys=False, allow_unicode=True), nl=False)


@app.command()
def init(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Lower-case letters, digits, _.")],
    items: Annotated[Path, typer.Option(metavar="FILE", help="CSV, TSV, Parquet or JSON Lines.")],
    interactions: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Likewise; none: nobody has used the domain yet."),
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ROLE=COLUMN",
            help="What is not to be guessed, e.g. interactions.user_id=customer; - for no column.",
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Take the guess, ask nothing.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a domain of yours.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make a domain from your own files: guesses what each column is, shows it, and asks.

    \b
    crossrec domain init shop --items items.csv --interactions sales.parquet
    crossrec domain init shop --items items.csv
    crossrec domain init shop --items items.csv --interactions sales.csv --yes \\
        --column interactions.timestamp=sold_at
    """
    corrections = dict(_correction(text) for text in column or [])
    inference = verbs.infer_domain(name, items, interactions, corrections)
    while not yes:
        _show(inference)
        answer = typer.prompt("Enter to accept, or ROLE=COLUMN", default="", show_default=False)
        if not answer.strip():
            break
        corrections |= [_correction(answer)]
        inference = verbs.infer_domain(name, items, interactions, corrections)
    path = verbs.init_domain(inference.domain, force=force)
    if as_json:
        print_json({"file": path} | inference.domain.model_dump(mode="json", exclude_defaults=True))
        return
    if yes:
        _show(inference)
    out.print(f"wrote {path}; next: crossrec data import {name}", markup=False)


def _correction(text: str) -> tuple[str, str]:
    role, separator, column = text.strip().partition("=")
    if not separator or not column:
        raise ConfigError(f"got '{text}'; expected ROLE=COLUMN, e.g. interactions.user_id=customer")
    return role.strip(), column.strip()


def _show(inference: Inference) -> None:
    """What each column was taken for and why, and what follows from it."""
    rows = [(g.table, g.column, g.role, g.reason) for g in inference.guesses]
    print_table(("table", "column", "taken for", "because"), rows, "")
    domain = inference.domain
    if domain.text_template:
        out.print(f"text of an item: {domain.text_template}", markup=False)
    err.print(
        f"time: {domain.time_kind}; context: {[f.name for f in domain.context]}", markup=False
    )
