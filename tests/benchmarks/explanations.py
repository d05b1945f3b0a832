"""Whether explanations hold: rows `additivity`, `deletion_test`, `counterfactuals` of a domain.

Users are test cases of the release's own split, drawn by a fixed seed; explained is the best item
that the user has not had. A domain's rows replace those it had. The release is the current one
below `$CROSSREC_HOME`; trained with the default settings where there is none.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from crossrec.config import load_config
from crossrec.data.batches import queries_for
from crossrec.data.dataset import Dataset
from crossrec.data.importing import imported
from crossrec.data.restrictions import items_values, single_codes
from crossrec.data.split import Split, make_split
from crossrec.data.vocabulary import Vocabulary
from crossrec.domains.spec import Domain
from crossrec.explanation.contributions import explain
from crossrec.explanation.counterfactuals import Counterfactual, counterfactuals
from crossrec.explanation.deletion import N_RANDOM, deletion
from crossrec.explanation.race import Race
from crossrec.explanation.rescoring import Rescorer
from crossrec.models.domain_model import DomainModel
from crossrec.models.query import Queries
from crossrec.releases.store import ReleaseStore
from crossrec.training.pipeline import train_here
from tests.benchmarks.rows import RESULTS, write_rows

DOMAINS = ("movies", "industrial", "restaurants")
N_USERS = 500
K = 10
ITEMS_EACH = 3
"""Items of each list whose counterfactuals are looked for: the first, the middle, the last."""
N_DRAWS = 2000
Row = dict[str, Any]


@dataclass(frozen=True)
class Asked:
    """A user's question and what the release recommends."""

    query: Queries
    best: list[int]
    allowed: NDArray[np.bool_]


@dataclass(frozen=True)
class Subject:
    """A release and the users that it is asked for."""

    name: str
    model: DomainModel
    rescorer: Rescorer
    split: Split
    data_hash: str
    epochs: str
    of_last: dict[str, NDArray[np.float32]]
    """Context fields that the last item tells → (N,), what each item tells."""

    def asked(self, n_users: int) -> Iterator[Asked]:
        """Users of the test cases."""
        rng = np.random.default_rng(0)
        cases = self.split.test
        drawn = np.sort(rng.choice(len(cases), min(n_users, len(cases)), replace=False))
        for number in drawn:
            query = queries_for(
                self.split.sequences, cases.take(np.array([number])), self.model.request_dim
            )
            allowed = np.ones(self.split.sequences.n_items, bool)
            allowed[query.items[query.items >= 0]] = False
            scores = np.where(allowed, self.model.score(query)[0], -np.inf)
            yield Asked(query, np.argsort(-scores, kind="stable")[:K].tolist(), allowed)

    def row(self, name: str, value: float, unit: str, n: int, protocol: str, **more: Any) -> Row:
        """A row with what all have in common."""
        about = f"{self.split.label}, test users{self.epochs}; {protocol}"
        return {
            "name": name, "domain": self.name, "value": value, "unit": unit, "n": n,
            "protocol": about, "data_hash": self.data_hash, "seeds": [0], **more,
        }  # fmt: skip


def subject(name: str) -> Subject:
    """The current release of a domain."""
    store, dataset = ReleaseStore(), imported(name)
    if name not in store.domains():
        train_here(name, load_config())
    loaded = store.load(name)
    config = loaded.model.config
    limit, usual = config.training.max_epochs, load_config().training.max_epochs
    return Subject(
        name,
        loaded.model,
        Rescorer(loaded.model),
        make_split(dataset, config.protocol, seed=config.training.seed),
        loaded.release.manifest.data_hash,
        "" if limit == usual else f", towers trained for {limit} epochs at most",
        told_by_items(loaded.model.domain, dataset, loaded.model.vocabulary),
    )


def told_by_items(
    domain: Domain, dataset: Dataset, vocabulary: Vocabulary
) -> dict[str, NDArray[np.float32]]:
    """`Subject.of_last`."""
    items = dataset.scan("items").collect()
    known = vocabulary.context_values
    return {
        field.name: single_codes(items_values(items, field, domain), known[field.name], field)
        for field in domain.context
        if field.derive == "last_item"
    }


def titles(items: list[int]) -> list[str]:
    """Nobody reads them."""
    return [str(item) for item in items]


def additivity(of: Subject, n_users: int) -> Row:
    """Largest error of the sum of parts, relative to the score that ranked the item."""
    worst, n = 0.0, 0
    for asked in of.asked(n_users):
        explained = explain(of.model, asked.query, asked.best, titles, rescorer=of.rescorer)
        scores = of.model.score(asked.query)[0]
        for item, one in zip(asked.best, explained, strict=True):
            error = abs(sum(part.value for part in one.parts) - float(scores[item]))
            worst = max(worst, error / max(abs(float(scores[item])), 1e-6))
            n += 1
    protocol = f"all {K} items of each list, parts against the score that the list was ranked by"
    return of.row("additivity", worst, "largest relative error", n, protocol)


def deletion_test(of: Subject, n_users: int) -> Row:
    """Area by the explanation's order over that of random orders."""
    rng = np.random.default_rng(1)
    areas = [deletion(of.model, of.rescorer, a.query, a.best[0], rng) for a in of.asked(n_users)]
    pairs = np.array([(one.ordered, one.random) for one in areas if one is not None])
    draws = rng.integers(len(pairs), size=(N_DRAWS, len(pairs)))
    ratios = pairs[draws, 0].sum(axis=1) / pairs[draws, 1].sum(axis=1)
    ours, theirs = pairs.mean(axis=0)
    protocol = (
        "the first item of each list; score less that of the empty query while history items and"
        f" context fields go, largest part first; users with one thing or none ({len(areas)}"
        f" - {len(pairs)}) have no order; ci95 is of the ratio, over users"
    )
    low, high = np.quantile(ratios, [0.025, 0.975])
    return of.row(
        "deletion_test", float(ours), "area under the score curve", len(pairs), protocol,
        peer=f"random orders ({N_RANDOM} each)", peer_value=float(theirs),
        ratio=float(ours / theirs), ci95=[float(low), float(high)],
    )  # fmt: skip


def verified(of: Subject, asked: Asked, item: int, one: Counterfactual) -> bool:
    """Scored again from a question in which the things never were, by the plain way."""
    query = asked.query
    if one.kind == "context":
        context = dict(query.context)
        context[one.field] = np.full_like(context[one.field], np.nan)
        query = replace(query, context=context)
    else:
        kept = np.setdiff1d(np.arange(query.items.shape[1]), one.places)
        kept = kept if len(kept) else np.array([0])
        columns = (query.items[:, kept], query.times[:, kept], query.events[:, kept])
        query = replace(query, items=columns[0], times=columns[1], events=columns[2])
        nothing = len(one.places) == (asked.query.items >= 0).sum()
        if nothing:
            query = replace(query, items=np.full_like(query.items, -1))
        told = dict(query.context)
        for name, of_items in of.of_last.items():
            told[name] = of_items[query.items[:, -1]] if not nothing else told[name] * np.nan
        query = replace(query, context=told)
    scores = np.where(asked.allowed, of.model.score(query)[0], -np.inf)
    rank = 1 + int((scores > scores[item]).sum())
    return rank > K


def counterfactual_rows(of: Subject, n_users: int) -> Row:
    """Share of the counterfactuals that hold."""
    sizes: list[int] = []
    held, fields, n_items, smallest = 0, 0, 0, 0
    for asked in of.asked(n_users):
        race = Race(of.model, of.rescorer, asked.query, asked.allowed, K, of_last=of.of_last)
        for item in asked.best[:: (K - 1) // (ITEMS_EACH - 1) or 1][:ITEMS_EACH]:
            n_items += 1
            for one in counterfactuals(race, item):
                held += verified(of, asked, item, one)
                fields += one.kind == "context"
                sizes += [len(one.places)] * (one.kind == "history")
                smallest += one.kind == "history" and one.is_smallest
    n = len(sizes) + fields
    counts = {size: sizes.count(size) for size in sorted(set(sizes))}
    protocol = (
        f"{n_items} items at ranks 1, 5 and 10; {len(sizes)} leave the top {K} without some history"
        f" items (by number of items: {counts}; {smallest} of these sets are proven smallest),"
        f" {fields} without one context field"
    )
    return of.row("counterfactuals", 100 * held / max(n, 1), "% verified", n, protocol)


def written() -> list[Row]:
    """All rows that were measured so far."""
    path = RESULTS / "explanations.json"
    found: list[Row] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    return found


MEASURES = {
    "additivity": additivity,
    "deletion_test": deletion_test,
    "counterfactuals": counterfactual_rows,
}


def main() -> None:
    """Measure and write, a domain at a time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--domains", nargs="*", default=list(DOMAINS))
    parser.add_argument("--rows", nargs="*", default=list(MEASURES), choices=MEASURES)
    parser.add_argument("--users", type=int, default=N_USERS)
    given = parser.parse_args()
    torch.set_num_threads(1)
    for name in given.domains:
        of = subject(name)
        made = [MEASURES[row](of, given.users) for row in given.rows]
        old = [r for r in written() if r["domain"] != name or r["name"] not in given.rows]
        write_rows("explanations", [*old, *made])


if __name__ == "__main__":
    main()
