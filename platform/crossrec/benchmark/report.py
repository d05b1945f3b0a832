"""The report of a run: `quality.json` with every cell, `quality.md` with tables and plots.

Leaves to others: what is compared (compare.py), the charts themselves (charts.py).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from crossrec.benchmark.cells import FUSION, MINE, OURS, TEXT, Cell
from crossrec.benchmark.compare import (
    MAIN,
    Group,
    Ratio,
    best_peer,
    geometric,
    groups,
    over_best_on_test,
    ratio,
    select,
)
from crossrec.benchmark.run import Outcome
from crossrec.evaluation.metrics import bootstrap_interval
from crossrec.evaluation.protocols import known

NOTES = {
    "leave_one_out": "last interaction of every user",
    "temporal": "first interaction after 90 % of all",
    "cold_items": "items withheld from training, full catalogue as candidates",
}


def write_report(folder: Path, outcome: Outcome, about: dict[str, Any]) -> tuple[Path, Path]:
    """Write `quality.json`, `quality.md` and `plots/*.svg` into `folder`.

    Args:
        about: settings of the run, kept in the JSON.
    """
    folder.mkdir(parents=True, exist_ok=True)
    document = as_dict(outcome, about)
    path = folder / "quality.json"
    text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False, default=_plain)
    path.write_text(text, "utf-8")
    found = groups(outcome.results)
    drawn = _plots(folder / "plots", found)
    report = folder / "quality.md"
    report.write_text(markdown(found, outcome.not_run, drawn, folder), "utf-8")
    return path, report


def as_dict(outcome: Outcome, about: dict[str, Any]) -> dict[str, Any]:
    """Everything as plain values: cells, comparisons, what was not run and why."""
    found = groups(outcome.results)
    published = {(g.domain, g.split, g.model): g.published for g in found}
    cells = []
    for result in outcome.results:
        cell = result.cell
        beside = published[cell.domain, cell.split, cell.model]
        cells.append({**result.summary(), "published": beside})
    return {
        "about": about,
        "cells": cells,
        "comparisons": [
            {**one.summary(), "against": against, "seeds": _seeds(found, one)}
            for against, ratios in comparisons(found).items()
            for one in ratios
        ],
        "not_run": [{**vars(cell), "reason": why} for cell, why in outcome.not_run.items()],
    }


def comparisons(found: Sequence[Group]) -> dict[str, list[Ratio]]:
    """Ours over the best peer, over the fusion, and on cold targets over frozen text."""
    ratios: dict[str, list[Ratio]] = {"best_peer": [], FUSION: [], TEXT: []}
    for ours in [group for group in found if group.model == OURS]:
        place = ours.domain, ours.split
        best, fusion = best_peer(found, *place), select(found, *place, FUSION)
        text = select(found, *place, TEXT)
        if best is not None and ours.split != "cold_items":
            ratios["best_peer"].append(ratio(ours, best))
        if fusion is not None:
            ratios[FUSION].append(ratio(ours, fusion))
        if text is not None and len(ours.values(kind="cold")):
            ratios[TEXT].append(ratio(ours, text, "recall@10", "cold"))
    return ratios


def _seeds(found: Sequence[Group], one: Ratio) -> list[int]:
    ours = select(found, one.domain, one.split, one.model)
    return ours.seeds if ours else []


def markdown(
    found: Sequence[Group], not_run: dict[Cell, str], drawn: dict[str, Path], folder: Path
) -> str:
    """The report as text."""
    lines = [
        "# Quality",
        "",
        "Full catalogue, ties against the model, every peer tuned on validation and judged by the"
        " same judge. Means over seeds (how many: below, under Cells). Best peer: by validation.",
    ]
    for split in dict.fromkeys(group.split for group in found):
        lines += ["", f"## {split}: {NOTES.get(split, '')}", ""]
        lines += _split_section([group for group in found if group.split == split])
    lines += ["", "## Ours against", "", *_ratio_table(found)]
    lines += ["", "## Cells", "", *_cell_table(found)]
    if not_run:
        lines += ["", "## Not run", ""]
        lines += [f"- {cell}: {reason}" for cell, reason in not_run.items()]
    lines += ["", "## Plots", ""]
    lines += [f"![{name}]({path.relative_to(folder)})" for name, path in drawn.items()]
    return "\n".join(lines) + "\n"


def _split_section(found: Sequence[Group]) -> list[str]:
    domains = list(dict.fromkeys(group.domain for group in found))
    models = list(dict.fromkeys(group.model for group in found))
    tables = (("all targets", "all"), ("cold targets", "cold"))
    lines: list[str] = []
    for title, kind in tables:
        lines += [f"NDCG@10 / Recall@10, {title}", "", "| model | " + " | ".join(domains) + " |"]
        lines += ["| --- |" + " --- |" * len(domains)]
        counts = [_count(found, domain, kind) for domain in domains]
        lines += ["| test cases | " + " | ".join(counts) + " |"]
        for model in models:
            cells = [_cell(select(found, d, found[0].split, model), kind) for d in domains]
            lines += [f"| {model} | " + " | ".join(cells) + " |"]
        lines += [""]
    return lines[:-1]


def _count(found: Sequence[Group], domain: str, kind: str) -> str:
    group = next(group for group in found if group.domain == domain)
    return f"{len(group.values(kind=kind)):,}"


def _cell(group: Group | None, kind: str) -> str:
    if group is None:
        return ""
    values = [group.values(metric, kind) for metric in (MAIN, "recall@10")]
    return " / ".join(f"{v.mean():.4f}" for v in values) if len(values[0]) else "-"


def _ratio_table(found: Sequence[Group]) -> list[str]:
    lines = [
        "Over best on test: over the peer that nobody could have chosen, for where validation is"
        " noisy the best by validation may be far from it.",
        "",
        "| split | domain | against | cases | ours | theirs | ratio | 95 % | over best on test |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for against, ratios in comparisons(found).items():
        for split in dict.fromkeys(one.split for one in ratios):
            of = [one for one in ratios if one.split == split]
            lines += [_ratio_row(found, one, against) for one in of]
            if len(of) > 1:
                mean, (low, high) = geometric(of)
                name = f"{split} | geometric mean of {len(of)} | {against}"
                lines += [f"| {name} | | | | **{mean:.3f}** | {low:.3f} to {high:.3f} | |"]
    return lines if len(lines) > 4 else ["Ours was not run."]


def _ratio_row(found: Sequence[Group], one: Ratio, against: str) -> str:
    what = against if one.peer == against else f"{against}: {one.peer}"
    figure = one.metric if one.kind == "all" else f"{one.metric}, {one.kind}"
    low, high = one.ci95
    best = over_best_on_test(found, one) if against == "best_peer" else None
    over_best = f"{best.value:.3f} ({best.peer})" if best else ""
    return (
        f"| {one.split} | {one.domain} | {what} ({figure}) | {one.n:,}"
        f" | {one.ours:.4f} | {one.theirs:.4f} | **{one.value:.3f}** | {low:.3f} to {high:.3f}"
        f" | {over_best} |"
    )


def _cell_table(found: Sequence[Group]) -> list[str]:
    lines = [
        "`published`: test NDCG@10 of the published peers on the very same cases; where the figure"
        " here differs by more than two of its standard errors, how far, and their parameters.",
        "",
        "| split | domain | model | seeds | validation | test | published | training s | found |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for group in found:
        first = group.results[0]
        params = ", ".join(f"{name}={value}" for name, value in first.params.items())
        ended = ["not converged"] if first.converged is False else []
        epochs = [f"{first.epochs} epochs"] if first.epochs else []
        seconds = np.mean([result.fit_seconds for result in group.results])
        cells = [group.split, group.domain, group.model, str(len(group.seeds))]
        cells += [f"{group.mean(part='validation'):.4f}", f"{group.mean():.4f}", _published(group)]
        cells += [f"{seconds:.1f}", ", ".join([params, *epochs, *ended]).strip(", ")]
        lines += ["| " + " | ".join(cells) + " |"]
    return lines


def _published(group: Group) -> str:
    """The published figure and whether it was cut short; where ours is far from it, how far in
    its standard errors, and with what parameters it was made.
    """
    figures = group.published
    if figures is None:
        return ""
    off = (group.mean() - figures[MAIN]) / max(figures["ndcg@10_se"], 1e-9)
    notes = ["cut short"] if figures["converged"] is False else []
    if abs(off) > 2:
        params = (f"{name}={value}" for name, value in figures["params"].items())
        notes += [f"{off:+.1f} s.e.", *params]
    return f"{figures[MAIN]:.4f}" + (f" ({', '.join(notes)})" if notes else "")


def _plots(folder: Path, found: Sequence[Group]) -> dict[str, Path]:
    """Name → file; nothing where altair is not installed, for it comes with another extra."""
    try:
        from crossrec import plots
        from crossrec.benchmark import charts
    except ModuleNotFoundError:
        return {}
    if not found:
        return {}
    folder.mkdir(parents=True, exist_ok=True)
    drawn = {}
    for domain, split in dict.fromkeys((group.domain, group.split) for group in found):
        of = [group for group in found if (group.domain, group.split) == (domain, split)]
        name = f"{domain} {split}"
        path = folder / f"{domain}-{split}.svg"
        drawn[name] = plots.save(charts.warm_and_cold(_quality_frame(of)), path)
    cost = charts.cost(_cost_frame(found))
    drawn["quality against training cost"] = plots.save(cost, folder / "cost.svg")
    return drawn


def _quality_frame(found: Sequence[Group]) -> pl.DataFrame:
    rows = []
    for group in found:
        for kind in ("warm", "cold"):
            values = group.values(kind=kind)
            if len(values):
                low, high = bootstrap_interval(values, np.random.default_rng(0))
                row: dict[str, Any] = {"domain": group.domain, "model": group.model}
                row |= {"kind": "ours" if group.model in MINE else "peer", "targets": kind}
                row |= {"value": values.mean(), "low": low, "high": high, "n_cases": len(values)}
                rows.append(row)
    return pl.DataFrame(rows)


def _cost_frame(found: Sequence[Group]) -> pl.DataFrame:
    return pl.DataFrame(
        [
            {
                "domain": f"{group.domain} {group.split}",
                "model": group.model,
                "kind": "ours" if group.model in MINE else "peer",
                "value": group.mean(),
                "seconds": max(0.01, np.mean([r.fit_seconds for r in group.results])),
            }
            for group in found
        ]
    )


def _plain(value: Any) -> Any:
    """What JSON does not know: numpy's numbers."""
    return known(float(value)) if isinstance(value, np.floating) else value.item()
