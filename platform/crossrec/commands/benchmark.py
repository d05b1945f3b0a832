"""`crossrec benchmark quality`: ours and peers in one run on the same cases.

Leaves to others: the cells, the run and the report (benchmark/).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from crossrec.commands.output import (
    AsJson,
    Commands,
    ConfigFile,
    Lists,
    Overrides,
    err,
    out,
    print_table,
    progress_bars,
)

app = typer.Typer(no_args_is_help=True, cls=Commands)


@app.callback()
def _group() -> None:
    """Figures of ours beside those of peers."""


@app.command(cls=Lists)
def quality(
    domains: Annotated[
        list[str] | None, typer.Option(metavar="DOMAIN…", help="Domains. none: all nine.")
    ] = None,
    splits: Annotated[
        list[str] | None,
        typer.Option(metavar="SPLIT…", help="leave_one_out, temporal, cold_items. none: all."),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Seeds of every model with randomness.")] = 3,
    peers: Annotated[
        list[str] | None, typer.Option(metavar="PEER…", help="Only these peers. none: all.")
    ] = None,
    ours: Annotated[bool, typer.Option(help="Train and judge ours.")] = True,
    to: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Cells and report; repeat it to go on.")
    ] = Path("artifacts/quality"),
    make: Annotated[
        bool, typer.Option("--run/--no-run", help="Make missing cells, or report what is there.")
    ] = True,
    config: ConfigFile = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Train ours and the peers on the same splits, judge all by one judge, write a report.

    With leave_one_out ours is trained a second time, told neither moment nor context of the
    request, as no peer is: crossrec_blind.

    Every cell (domain, split, model, seed) is a file below --out, kept until its data,
    settings or code change: what was interrupted goes on. Peers with an environment of
    their own need tests/benchmarks/peers/make_env.sh once. Writes quality.json, quality.md
    and plots.

    \b
    crossrec benchmark quality --domains movies travel --splits leave_one_out --seeds 1
    crossrec benchmark quality --domains movies --peers sasrec_own ease_recency
    crossrec benchmark quality --domains fashion --splits temporal --no-ours
    """
    from crossrec import verbs
    from crossrec.benchmark.report import write_report
    from crossrec.benchmark.run import Benchmark, make_plan, settings_of
    from crossrec.verbs.data import at_hand, import_data

    cells = make_plan(domains or (), splits or (), seeds, peers, ours=ours)
    settings = verbs.settings(config, overrides or ())
    bench = Benchmark(to, cells, settings, make, at_hand, import_data)
    with progress_bars() as progress:
        task = progress.add_task("quality", total=len(cells))
        outcome = bench.run(
            lambda cell, made: progress.update(task, advance=int(made), description=str(cell))
        )
    about = {**settings_of(cells), "seeds": seeds, "config": settings.model_dump(mode="json")}
    json_file, report = write_report(to, outcome, about)
    for reason in dict.fromkeys(f"{c.model} {why}" for c, why in outcome.not_run.items()):
        err.print(reason, style="yellow", markup=False)
    if as_json:
        typer.echo(json_file.read_text(encoding="utf-8"))
        return
    _show(json.loads(json_file.read_text(encoding="utf-8")))
    out.print(f"report: {report}", markup=False)


def _show(document: dict[str, Any]) -> None:
    """Cells in the order they ran, then the comparisons."""
    rows = [
        (
            c["domain"],
            c["split"],
            c["model"],
            c["seed"],
            _number(c["validation"]["metrics"]["ndcg@10"], 4),
            _number(c["test"]["metrics"]["ndcg@10"], 4),
        )
        for c in document["cells"]
    ]
    columns = ("domain", "split", "model", "seed", "validation", "NDCG@10 (test)")
    print_table(columns, rows, "no cell was run")
    ratios = [
        (
            c["domain"],
            c["split"],
            f"{c['against']} ({c['peer']})",
            f"{c['metric']} {c['kind']}",
            f"{_number(c['value'], 3)} [{', '.join(_number(v, 3) for v in c['ci95'])}]",
        )
        for c in document["comparisons"]
    ]
    if ratios:
        print_table(("domain", "split", "ours over", "figure", "ratio, 95 %"), ratios, "")


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
