"""`crossrec domain`: list and look at domains; make one from your own files.

Leaves to others: what a domain's YAML may hold (domains/spec.py), guessing it (data/infer.py).
"""

from __future__ import annotations

import typer
import yaml

from crossrec import verbs
from crossrec.commands.output import AsJson, Commands, OneDomain, print_json, print_table
from crossrec.domains import load_domain
from crossrec.domains.registry import domain_files

app = typer.Typer(cls=Commands, no_args_is_help=True)


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """All domains, built in and your own, with where their data come from."""
    files = domain_files()
    domains = [load_domain(name) for name in verbs.domain_names()]
    if as_json:
        print_json(
            [domain.model_dump(mode="json") | {"file": files[domain.name]} for domain in domains]
        )
        return
    rows = [(domain.name, domain.title, domain.task, domain.source.kind) for domain in domains]
    print_table(("domain", "title", "task", "source"), rows, "there is no domain")


@app.command()
def show(domain: OneDomain, as_json: AsJson = False) -> None:
    """The YAML of one domain, defaults left out."""
    values = load_domain(domain).model_dump(mode="json", exclude_defaults=True)
    if as_json:
        print_json(values)
    else:
        typer.echo(yaml.safe_dump(values, sort_keys=False, allow_unicode=True), nl=False)
