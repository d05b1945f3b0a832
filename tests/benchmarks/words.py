"""Requests in words: ours over the best of the frozen encoder and BM25, on the same cases.

Rows `words_requests`: one a domain, and their geometric mean. A case is a test request; all items
that satisfy it are relevant (`request_matches`; of dialogues the items suggested in answer);
candidates are the items of the request's pool less those that its dialogue has named. Where a
dialogue names items, the frozen encoder may add their texts to the request. Peers choose their
variant on validation. Ours is trained as `crossrec train` does it. `--first-look` prints the peers
over the whole catalogue instead, with and without all right answers. One training a domain and
seed: minutes, of `support`, where LoRA trains, about ten.

Row `words_profile`: users described by a sentence alone, each tested once, ours over frozen text;
`protocol` has the figure of plain popularity.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import bm25s
import numpy as np
import torch
from numpy.typing import NDArray

from crossrec.data.batches import queries_for
from crossrec.data.importing import imported
from crossrec.data.profiles import FOLDS
from crossrec.data.split import Cases
from crossrec.evaluation.metrics import bootstrap_interval, set_ndcg
from crossrec.evaluation.protocols import Part, candidates_only, right_answers
from crossrec.models.baselines import TEXT_DECAYS, FrozenText, tune_all
from crossrec.models.query import Queries
from crossrec.models.signals import PopularitySignal
from crossrec.models.text_signals import unit
from crossrec.training.assemble import assemble
from crossrec.training.loop import fit
from crossrec.training.prepare import Prepared, prepare
from crossrec.verbs.inputs import settings
from tests.benchmarks.rows import RESULTS, common_seeds, write_rows

Floats = NDArray[np.float32]
Score = Callable[[Queries], Floats]
Family = Callable[[Prepared], Iterator[tuple[str, Score]]]
Row = dict[str, Any]

DOMAINS = ("movie_requests", "concierge", "assistant_requests", "support")
NAMED = "movie_requests"
"""Its dialogues name items before they ask: a history. In the others a case is its words alone."""
DESCRIBED = "restaurants_context"
WORDLESS = ("popularity", "ease", "ease_recency")
BATCH = 256


def frozen(prepared: Prepared) -> Iterator[tuple[str, Score]]:
    """Cosine of request and item text in the encoder as it comes, less the mean text or not."""
    mean = prepared.text.mean(axis=0)
    for name, centre in (("", np.zeros_like(mean)), (", centred", mean)):
        vectors = unit(prepared.text - centre)
        yield f"frozen encoder{name}", lambda q, v=vectors, c=centre: unit(q.request - c) @ v.T


def bm25(prepared: Prepared) -> Iterator[tuple[str, Score]]:
    """BM25 of `bm25s` over the item texts."""
    for stopwords, k1, b in itertools.product((None, "en"), (0.9, 1.5), (0.4, 0.75)):
        index = bm25s.BM25(method="lucene", k1=k1, b=b)
        corpus = bm25s.tokenize(prepared.texts, stopwords=stopwords, show_progress=False)
        index.index(corpus, show_progress=False)

        def score(
            queries: Queries, index: bm25s.BM25 = index, stopwords: str | None = stopwords
        ) -> Floats:
            texts = list(queries.words or ())
            tokens = bm25s.tokenize(
                texts, stopwords=stopwords, return_ids=False, show_progress=False
            )
            nothing = np.zeros(len(prepared.texts), np.float32)
            known = [[token for token in one if token in index.vocab_dict] for one in tokens]
            return np.stack([index.get_scores(one) if one else nothing for one in known])

        yield f"bm25s k1={k1} b={b} stopwords={stopwords}", score


def frozen_with_named(prepared: Prepared) -> Iterator[tuple[str, Score]]:
    """Cosine of request and history with item text in the encoder as it comes, any decay."""
    for decay, centre in itertools.product(TEXT_DECAYS, (False, True)):
        model = FrozenText(decay, centre).fit(prepared.split, prepared.text)
        yield f"frozen encoder, words and named items, decay={decay} centre={centre}", model.score


def judge(
    prepared: Prepared, score: Score, part: Part, requests: Floats, *, whole: bool = False
) -> NDArray[np.float64]:
    """NDCG@10 of each case of `part`.

    Args:
        requests: (R, E) encoded requests.
        whole: rank the whole catalogue instead of the request's pool.
    """
    split, width = prepared.split, prepared.text.shape[1]
    cases: Cases = getattr(split, part)
    values = []
    for start in range(0, len(cases), BATCH):
        some = cases.take(slice(start, start + BATCH))
        queries = queries_for(split.sequences, some, width, requests=requests)
        scores = score(queries)
        if not whole:
            scores = candidates_only(scores, split, split.targets(some), part)
        rows = split.sequences.target_rows(some)
        right = right_answers(split, rows).toarray() > 0
        values.append(set_ndcg(scores, right, queries.items, 10))
    return np.concatenate(values)


def best_peer(prepared: Prepared) -> tuple[str, NDArray[np.float64]]:
    """The best of the peers on test, each the variant that is best on validation."""
    families: list[Family] = [frozen, bm25]
    if has_history(prepared):
        families.append(frozen_with_named)
    return max((best_of(prepared, family) for family in families), key=lambda one: one[1].mean())


def has_history(prepared: Prepared) -> bool:
    """Whether something is known of a user before the request."""
    return bool(prepared.split.test.cuts.any())


def wordless(prepared: Prepared) -> dict[str, float]:
    """Test NDCG@10 of peers that never read the words, tuned on validation: name → figure."""
    requests = prepared.wish_vectors[prepared.wish_of_row]
    tuned = tune_all(prepared.split, names=WORDLESS, requests=requests)
    return {
        name: float(judge(prepared, model.score, "test", requests).mean())
        for name, model in tuned.items()
    }


def best_of(prepared: Prepared, family: Family) -> tuple[str, NDArray[np.float64]]:
    """The variant of a peer that is best on validation: its name, and its cases on test."""
    requests = prepared.wish_vectors[prepared.wish_of_row]
    tried = [
        (judge(prepared, score, "validation", requests).mean(), name, score)
        for name, score in family(prepared)
    ]
    _, name, score = max(tried, key=lambda one: one[0])
    values = judge(prepared, score, "test", requests)
    print(f"  {name}: {values.mean():.4f}", flush=True)
    return name, values


def ours(prepared: Prepared) -> tuple[NDArray[np.float64], dict[str, NDArray[np.float64]]]:
    """The fused model, trained with the prepared config, on each test case; and each of its signals
    alone, by name.
    """
    fitted = fit(prepared)
    requests = fitted.network.texts.requests()
    assert requests is not None
    model = assemble(prepared, fitted)
    alone = {
        name: judge(prepared, signal.score, "test", requests)
        for name, signal in model.signals_by_name.items()
    }
    for name, values in alone.items():
        print(f"    {name}: {values.mean():.4f}")
    validation = judge(prepared, model.score, "validation", requests).mean()
    test = judge(prepared, model.score, "test", requests)
    print(f"  ours: {test.mean():.4f} (validation {validation:.4f})", flush=True)
    return test, alone


def row_of(name: str, n_seeds: int, overrides: list[str]) -> Row:
    """One domain, with its own settings, and `overrides` above them."""
    print(name, flush=True)
    runs = []
    for seed in range(n_seeds):
        config = settings(overrides=[*overrides, f"training.seed={seed}"], domain=name)
        prepared = prepare(imported(name), config)
        if not runs:
            peer, theirs = best_peer(prepared)
            beside = wordless(prepared) if has_history(prepared) else {}
        runs.append(ours(prepared)[0])
    values = np.mean(runs, axis=0)
    pools = "" if prepared.split.pools is None else " within pools,"
    return {
        "name": "words_requests",
        "domain": name,
        "value": float(values.mean()),
        "unit": "ndcg@10",
        "peer": peer,
        "peer_value": float(theirs.mean()),
        "ratio": float(values.mean() / theirs.mean()),
        "n": len(values),
        "ci95": list(bootstrap_interval(values, np.random.default_rng(0))),
        "seeds": list(range(n_seeds)),
        "protocol": f"{name}, test requests,{pools} all right answers relevant, default settings"
        + "".join(f", {setting}" for setting in overrides)
        + "".join(f"; {other} {value:.4f}" for other, value in beside.items()),
        "data_hash": prepared.data_hash,
    }


def profile_row() -> Row:
    """Described users of `restaurants_context`: one training for each fifth of them as test."""
    print(DESCRIBED, flush=True)
    mine, popular, theirs = [], [], []
    for seed in range(FOLDS):
        own = ["protocol=profiles", "task=rank", f"training.seed={seed}"]
        prepared = prepare(imported(DESCRIBED), settings(overrides=own, domain=DESCRIBED))
        theirs.append(best_of(prepared, frozen)[1])
        test, alone = ours(prepared)
        mine.append(test)
        popular.append(alone[PopularitySignal.name])
    values, peer = np.concatenate(mine), np.concatenate(theirs)
    return {
        "name": "words_profile",
        "domain": DESCRIBED,
        "value": float(values.mean()),
        "unit": "ndcg@10",
        "peer": "frozen encoder",
        "peer_value": float(peer.mean()),
        "ratio": float(values.mean() / peer.mean()),
        "n": len(values),
        "ci95": list(bootstrap_interval(values, np.random.default_rng(0))),
        "seeds": list(range(FOLDS)),
        "protocol": "restaurants_context, users described by a sentence, five parts, all their"
        f" items relevant; by popularity alone, one of our own signals,"
        f" {np.concatenate(popular).mean():.4f}",
        "data_hash": prepared.data_hash,
    }


def mean_of(rows: list[Row]) -> Row:
    """Geometric mean of the ratios, in the protocol also that of words without a history; its
    interval over the requests of each domain is not made.
    """
    ratio = statistics.geometric_mean([row["ratio"] for row in rows])
    alone = statistics.geometric_mean([row["ratio"] for row in rows if row["domain"] != NAMED])
    domains = ", ".join(row["domain"] for row in rows)
    return {
        "name": "words_requests",
        "value": ratio,
        "unit": "times the best peer",
        "ratio": ratio,
        "n": len(rows),
        "seeds": common_seeds(rows),
        "protocol": f"geometric mean of {domains}; without {NAMED}, where ours has a history"
        f" besides, {alone:.2f}",
    }


def with_others(rows: list[Row]) -> list[Row]:
    """Those rows, the rows of other domains as an earlier run wrote them, and a fresh mean."""
    path = RESULTS / "words.json"
    before = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    new = {row["domain"] for row in rows}
    known = [row for row in before if row["domain"] and row["domain"] not in new] + rows
    known.sort(key=lambda row: (*DOMAINS, DESCRIBED).index(row["domain"]))
    requests = [row for row in known if row["name"] == "words_requests"]
    return known + [mean_of(requests)] * (len(requests) == len(DOMAINS))


def first_look(name: str) -> None:
    """The peers over the whole catalogue, with all right answers relevant and with one."""
    prepared = prepare(imported(name), settings(domain=name))
    requests = prepared.wish_vectors[prepared.wish_of_row]
    one = replace(prepared, split=replace(prepared.split, relevant=None))
    for family in (frozen, bm25):
        for label, score in family(prepared):
            figures = [
                judge(which, score, "test", requests, whole=True).mean()
                for which in (prepared, one)
            ]
            print(f"{name}, {label}: all answers {figures[0]:.4f}, one {figures[1]:.4f}")


def main() -> None:
    """Measure the domains named on the command line, or all, and write their rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--domain", choices=(*DOMAINS, DESCRIBED), action="append")
    parser.add_argument("--set", action="append", default=[], help="a.b=value, to try; no rows")
    parser.add_argument("--first-look", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.first_look:
        for name in given.domain or DOMAINS:
            first_look(name)
        return
    rows = []
    for name in given.domain or (*DOMAINS, DESCRIBED):
        row = profile_row() if name == DESCRIBED else row_of(name, given.seeds, given.set)
        rows.append(row)
        print(rows[-1], flush=True)
        if not given.set:
            write_rows("words", with_others(rows))


if __name__ == "__main__":
    main()
