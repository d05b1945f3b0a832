"""What each part of the model is worth: the model without it beside the whole (rows `ablation`).

Parts of the towers need a training of their own; signals of the fusion and what neighbours are made
of do not, so for them one training serves and only what stands on it is made again. A domain's rows
replace those it had; rows of other domains and protocols stay.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, get_args

import torch

from crossrec.benchmark.compare import ratio
from crossrec.config import Part, RunConfig, load_config
from crossrec.data.importing import imported
from crossrec.errors import DataError
from crossrec.evaluation.protocols import Evaluation, judge
from crossrec.evaluation.protocols import Part as Cases
from crossrec.models.domain_model import DomainModel
from crossrec.models.signals import SIGNALS
from crossrec.training.assemble import assemble
from crossrec.training.loop import Fitted, fit
from crossrec.training.prepare import Prepared, prepare
from tests.benchmarks.context import group
from tests.benchmarks.rows import RESULTS, write_rows

Row = dict[str, Any]
Judged = dict[Cases, list[Evaluation]]
"""Validation and test, one a seed."""

WHOLE = "nothing"
SETTINGS = {"ids": "model.use_ids=false", "context": "model.use_context=false"}
"""Parts that have a setting of their own."""
SIGNAL_NAMES = [one.name for one in SIGNALS]
AFTER_TRAINING = ("follows", "lending", *SIGNAL_NAMES)
"""Parts without which the towers are the same."""
PARTS = (*SETTINGS, *get_args(Part))
DOMAINS = dict.fromkeys(("travel", "movies", "industrial"), PARTS) | {"restaurants": ("events",)}
"""Domain → the parts that are left out of it. Only `restaurants` records kinds of events: steps
through a guide, of which six say what was wrong with a place."""


def config_without(part: str, *settings: str) -> RunConfig:
    """The default settings, `settings` and no such part."""
    own = [] if part == WHOLE else [SETTINGS.get(part, f"model.without=[{part}]")]
    return load_config(overrides=[*settings, *own])


def applies(part: str, prepared: Prepared) -> bool:
    """Whether the domain has that part at all."""
    return {
        "events": len(prepared.split.sequences.event_names) > 1,
        "gaps": prepared.domain.time_kind == "unix_seconds",
        "context": bool(prepared.domain.context),
        "lending": not prepared.split.warm.all(),
    }.get(part, True)


def models(
    name: str, parts: Sequence[str], *settings: str
) -> Iterator[tuple[str, Prepared, DomainModel]]:
    """The whole model, then the model without each of `parts` that the domain has."""
    whole = prepare(imported(name), config_without(WHOLE, *settings))
    fitted = fit(whole)
    yield WHOLE, whole, assemble(whole, fitted)
    for part in parts:
        if applies(part, whole):
            yield part, *_without(part, whole, fitted, *settings)


def _without(
    part: str, whole: Prepared, fitted: Fitted, *settings: str
) -> tuple[Prepared, DomainModel]:
    config = config_without(part, *settings)
    if part in AFTER_TRAINING:
        prepared = replace(whole, config=config)
    else:
        prepared = prepare(imported(whole.domain.name), config, encoder=whole.encoder)
        fitted = fit(prepared)
    return prepared, assemble(prepared, fitted)


def measure(name: str, parts: Sequence[str], seeds: int, protocol: str) -> list[Row]:
    """All rows of a domain."""
    found: dict[str, Judged] = {}
    for seed in range(seeds):
        settings = (f"training.seed={seed}", f"protocol={protocol}")
        for part, prepared, model in models(name, parts, *settings):
            width = prepared.text.shape[1]
            judged = found.setdefault(part, {"validation": [], "test": []})
            for cases, evaluations in judged.items():
                evaluations.append(judge(model.score, prepared.split, cases, request_dim=width))
            print(f"{name} {protocol} seed {seed} without {part}: {_words(judged)}", flush=True)
    whole = found.pop(WHOLE)
    return [row for part, judged in found.items() for row in rows(prepared, part, judged, whole)]


def _words(judged: Judged) -> str:
    """The newest seed's figures."""
    validation, test = (judged[cases][-1] for cases in ("validation", "test"))
    cold = test.values("ndcg@10")[~test.warm]
    of_cold = f", {len(cold)} cold {cold.mean():.4f}" if len(cold) else ""
    return f"validation {validation.mean('ndcg@10'):.4f}, test {test.mean('ndcg@10'):.4f}{of_cold}"


def rows(prepared: Prepared, part: str, judged: Judged, whole: Judged) -> list[Row]:
    """Without the part over the whole: validation, test, and the cold targets of test."""
    kinds: list[tuple[Cases, str]] = [("validation", "all"), ("test", "all"), ("test", "cold")]
    made = []
    for cases, kind in kinds:
        compared = ratio(
            group(prepared, part, judged[cases]),
            group(prepared, "the whole model", whole[cases]),
            kind=kind,
        )
        if not compared.n or not compared.theirs:
            continue
        made.append(
            {
                "name": "ablation",
                "domain": prepared.domain.name,
                "value": compared.ours,
                "unit": "ndcg@10",
                "peer": compared.peer,
                "peer_value": compared.theirs,
                "ratio": compared.value,
                "n": compared.n,
                "ci95": list(compared.ci95),
                "seeds": list(range(len(judged[cases]))),
                "protocol": f"{prepared.split.label}, {cases}, {kind} targets, without {part};"
                " ci95 is of the ratio, paired over users",
                "data_hash": prepared.data_hash,
            }
        )
    return made


def written() -> list[Row]:
    """All rows that were measured so far."""
    path = RESULTS / "ablation.json"
    found: list[Row] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    return found


def others(domain: str, protocol: str) -> list[Row]:
    """Rows of other domains, or under another protocol."""
    replaced = f"{protocol}, "
    return [
        row
        for row in written()
        if row["domain"] != domain or not row["protocol"].startswith(replaced)
    ]


def table(found: list[Row]) -> str:
    """Markdown: a line a part, NDCG@10 without it in each domain; the whole first."""
    cells: dict[str, dict[str, str]] = {WHOLE: {}}
    for row in found:
        where, _, part = row["protocol"].partition(";")[0].rpartition(", without ")
        column = f"{row['domain']}, {where.removesuffix(' targets').removesuffix(', all')}"
        cells[WHOLE][column] = f"{row['peer_value']:.4f}"
        cells.setdefault(part, {})[column] = f"{row['value']:.4f}"
    columns = list(cells[WHOLE])
    lines = [["without", *columns], ["---"] * (1 + len(columns))]
    lines += [[part, *(of.get(column, "–") for column in columns)] for part, of in cells.items()]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    """Measure and write, a domain at a time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--domains", nargs="*", default=list(DOMAINS))
    parser.add_argument("--parts", nargs="*", choices=PARTS)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--protocol", default="leave_one_out")
    given = parser.parse_args()
    torch.set_num_threads(1)
    for name in given.domains:
        parts = given.parts or DOMAINS.get(name, PARTS)
        made = measure(name, parts, given.seeds, given.protocol)
        if not made:
            raise DataError(f"'{name}' has none of the parts {', '.join(parts)}; name others")
        write_rows("ablation", [*others(name, given.protocol), *made])
    print(table(written()))


if __name__ == "__main__":
    main()
