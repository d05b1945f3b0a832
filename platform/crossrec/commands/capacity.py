"""`crossrec capacity`: what a load needs, from costs measured on this machine.

Leaves to others: measuring (serving/capacity_probe.py), the model (serving/capacity.py).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from crossrec import verbs
from crossrec.commands.output import AsJson, Domains, err, expecting, out, print_json, print_table

MEASURE_S = 60


def capacity(
    domains: Domains,
    requests: Annotated[
        float, typer.Option(min=0.001, help="Requests a second, of each domain.")
    ] = 100.0,
    text_share: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the requests that have words.")
    ] = 0.2,
    items: Annotated[
        int | None, typer.Option(min=1, help="Items of each domain; as released where not given.")
    ] = None,
    cores: Annotated[float, typer.Option(min=0.5, help="Cores of a node.")] = 8,
    memory_gib: Annotated[float, typer.Option(min=0.5, help="Memory of a node, GiB.")] = 32,
    costs: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Costs: read if it is there, else measured and kept."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say how many replicas, how much memory and how many nodes a load needs.

    The current releases are served for a minute and asked; processor time and memory of each
    process are what the plan is made of. Run it on the kind of machine that is to serve.

    \b
    crossrec capacity movies grocery --requests 500 --text-share .3
    crossrec capacity movies --items 100000 --cores 16 --memory-gib 64 --costs costs.json
    """
    with expecting("measuring what requests cost", MEASURE_S):
        found = verbs.capacity(
            *domains,
            requests_per_s=requests,
            text_share=text_share,
            n_items=items,
            node_cores=cores,
            node_memory_gib=memory_gib,
            costs_file=costs,
        )
    if as_json:
        print_json(found.model_dump())
        return
    rows = [
        [
            name,
            f"{cost.n_items:,}",
            f"{cost.by_id_s * 1000:.2f} ms",
            f"{cost.by_text_s * 1000:.2f} ms",
            f"{cost.memory_bytes / 2**20:.0f} MiB",
            found.plan.replicas[name],
        ]
        for name, cost in found.costs.domains.items()
        if name in found.plan.replicas
    ]
    columns = ["domain", "items", "a request", "with words", "memory", "apart"]
    print_table(columns, rows, "nothing was measured")
    plan = found.plan
    out.print(
        f"replicas  {plan.shared} that the domains share\n"
        f"encoders  {plan.encoders} ({found.costs.text_s * 1000:.1f} ms a text)\n"
        f"cores     {plan.cores:.1f}\n"
        f"memory    {plan.memory_bytes / 2**30:.2f} GiB,"
        f" {plan.memory_apart_bytes / 2**30:.2f} GiB with each domain apart\n"
        f"nodes     {plan.nodes} of {cores:g} cores and {memory_gib:g} GiB"
    )
    err.print("processor time measured on this machine; processes are planned to be 60 % busy")
