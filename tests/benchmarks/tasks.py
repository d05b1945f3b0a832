"""The tasks beside ranking by history: ratings, labels, and answers to a customer's question.

Rows `rate_rmse`, `rate_mae` (movies: beside biases alone, and matrix factorisation with biases in
the environment of `peers/make_env.sh surprise`), `classify_f1` (macro-F1 beside logistic regression
on frozen embeddings), `answers_mrr` (beside frozen text and BM25). Every peer is tuned on the same
validation cases; those of ratings are then fitted on them too, as our history at test holds them.
About an hour on two cores: LoRA trains for the labels. Predictions of a seed are kept under
`<home>/cache/tasks`, so that a run goes on where it was cut off and seeds can be added; after a
change of the code, `--fresh` makes them anew.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from crossrec.config import home
from crossrec.data.batches import queries_for
from crossrec.data.importing import imported
from crossrec.data.split import Cases
from crossrec.evaluation.metrics import macro_f1, ranks
from crossrec.evaluation.protocols import Part, candidates_only
from crossrec.models.rating_baselines import tune_biases
from crossrec.training.assemble import assemble
from crossrec.training.loop import fit
from crossrec.training.prepare import Prepared, prepare
from crossrec.verbs.inputs import settings
from tests.benchmarks.rows import write_rows
from tests.benchmarks.words import bm25, frozen

Row = dict[str, Any]
Values = NDArray[Any]
Metric = Callable[[Values, Values], float]

ROOT = Path(__file__).resolve().parents[2]
PEERS = Path(__file__).parent / "peers"
SURPRISE = ROOT / ".venv-peers" / "surprise" / "bin" / "python"
DRAWS = 1000
FRESH = "--fresh"
BATCH = 128
STRENGTHS = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
"""C of the logistic regression."""
Made = dict[str, Values]
Make = Callable[[Prepared, Any, Values | None], Made]


def predictions(
    name: str, overrides: Sequence[str], n_seeds: int, make: Make
) -> tuple[Prepared, list[Made]]:
    """Of each seed what `make` takes from a trained model, remembered; and the last seed's data.

    Trained as `crossrec train` does it, with `overrides` above the domain's own settings.

    `make` gets the data, the model, and what was said as the model's own adapter reads it.
    """
    made = []
    for seed in range(n_seeds):
        config = settings(overrides=[*overrides, f"training.seed={seed}"], domain=name)
        prepared = prepare(imported(name), config)
        key = f"{name}-{config.digest()}-{prepared.data_hash[:12]}.npz"
        path = home() / "cache" / "tasks" / key
        if not path.is_file() or FRESH in sys.argv:
            fitted = fit(prepared, on_epoch=lambda epoch: print(epoch.metrics, flush=True))
            model, said = assemble(prepared, fitted), fitted.network.texts.requests()
            path.parent.mkdir(parents=True, exist_ok=True)
            np.savez(path, **make(prepared, model, said))
        made.append(dict(np.load(path)))
    return prepared, made


def scores(score: Any, prepared: Prepared, cases: Cases, requests: Values | None) -> Values:
    """(n, N) within each target's pool."""
    split, width = prepared.split, prepared.text.shape[1]
    targets, parts = split.targets(cases), []
    for start in range(0, len(cases), BATCH):
        rows = slice(start, start + BATCH)
        some = cases.take(rows)
        queries = queries_for(split.sequences, some, width, requests=requests)
        parts.append(candidates_only(np.asarray(score(queries)), split, targets[rows], "test"))
    return np.concatenate(parts)


def ratio_interval(metric: Metric, ours: Values, theirs: Values, truth: Values) -> list[float]:
    """95 % interval of the ratio of means over seeds, cases drawn with replacement, in pairs.

    Args:
        ours, theirs: (seeds, n) predictions.
        truth: (n,).
    """
    rng = np.random.default_rng(0)
    draws = (rng.integers(0, len(truth), len(truth)) for _ in range(DRAWS))
    values = [mean(metric, ours, truth, d) / mean(metric, theirs, truth, d) for d in draws]
    return np.percentile(values, [2.5, 97.5]).tolist()


def value_interval(metric: Metric, ours: Values, truth: Values) -> list[float]:
    """The same of our value."""
    rng = np.random.default_rng(0)
    draws = (rng.integers(0, len(truth), len(truth)) for _ in range(DRAWS))
    values = [mean(metric, ours, truth, d) for d in draws]
    return np.percentile(values, [2.5, 97.5]).tolist()


def mean(metric: Metric, predictions: Values, truth: Values, rows: Any = slice(None)) -> float:
    """Mean over the seeds of a metric on some cases."""
    return float(np.mean([metric(one[rows], truth[rows]) for one in predictions]))


def row(
    name: str, metric: Metric, unit: str, peer: str, ours: Any, theirs: Any, truth: Values,
    prepared: Prepared, n_seeds: int, protocol: str,
) -> Row:  # fmt: skip
    """Ours beside one peer on the same cases; ours and theirs are (seeds, n) predictions."""
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    value, other = mean(metric, ours, truth), mean(metric, theirs, truth)
    low, high = ratio_interval(metric, ours, theirs, truth)
    return {
        "name": name,
        "domain": prepared.domain.name,
        "value": value,
        "unit": unit,
        "peer": peer,
        "peer_value": other,
        "ratio": value / other,
        "n": len(truth),
        "ci95": value_interval(metric, ours, truth),
        "seeds": list(range(n_seeds)),
        "protocol": f"{protocol}; ratio [{low:.3f}, {high:.3f}] by paired bootstrap of cases",
        "data_hash": prepared.data_hash,
    }


def rmse(predicted: Values, given: Values) -> float:
    return float(np.sqrt(((predicted - given) ** 2).mean()))


def mae(predicted: Values, given: Values) -> float:
    return float(np.abs(predicted - given).mean())


def rate_rmse(n_seeds: int) -> list[Row]:
    """Ratings of movies, the last of each user."""

    def ratings(prepared: Prepared, model: Any, _: Values | None) -> Made:
        cases = prepared.split.test
        predicted = scores(model.score, prepared, cases, None)
        return {"ratings": predicted[np.arange(len(cases)), prepared.split.targets(cases)]}

    prepared, made = predictions("movies", ["task=rate"], n_seeds, ratings)
    ours = [one["ratings"] for one in made]
    split, cases = prepared.split, prepared.split.test
    given = split.sequences.ratings[split.sequences.target_rows(cases)]
    factorised, tuned = factorisation(prepared, range(n_seeds))
    peers = {
        "biases alone, tuned": tune_biases(split).predict(split, cases)[None],
        f"matrix factorisation with biases, surprise SVD {tuned}": factorised,
    }
    return [
        row(name, metric, unit, peer, ours, theirs, given, prepared, n_seeds,
            "leave_one_out, each user's last rating; peers chosen on validation, then fitted on"
            " training and validation ratings")
        for name, metric, unit in (("rate_rmse", rmse, "RMSE"), ("rate_mae", mae, "MAE"))
        for peer, theirs in peers.items()
    ]  # fmt: skip


def factorisation(prepared: Prepared, seeds: Sequence[int]) -> tuple[Values, str]:
    """Test predictions (seeds, n) of the peer, and its settings in words."""
    split = prepared.split
    starts, ratings = split.sequences.offsets, split.sequences.ratings.astype(float)
    rows = {p: starts[c.users] + c.cuts for p, c in parts(split).items()}
    users = np.repeat(np.arange(split.sequences.n_users), np.diff(starts))
    hidden = ratings.copy()
    hidden[rows["test"]] = np.nan
    task = {"users": users, "items": split.sequences.items, "ratings": hidden, **rows}
    with tempfile.TemporaryDirectory() as folder:
        paths = [f"{folder}/task.npz", f"{folder}/answer.npz"]
        np.savez(paths[0], train=np.flatnonzero(split.train), **task)
        command = [str(SURPRISE), str(PEERS / "surprise_ratings.py"), *paths, *map(str, seeds)]
        subprocess.run(command, check=True)
        answer = np.load(paths[1])
        return answer["test"], str(answer["settings"])


def parts(split: Any) -> dict[Part, Cases]:
    return {"validation": split.validation, "test": split.test}


def pooled(prepared: Prepared, part: Part, pool: str | None) -> Cases:
    """The cases of a part whose target lies in a pool; None: all."""
    cases: Cases = getattr(prepared.split, part)
    if pool is None:
        return cases
    names = imported(prepared.domain.name).catalogue()["pool"].to_numpy()
    kept = names[prepared.split.targets(cases)] == pool
    return cases.take(kept)


def logistic(prepared: Prepared, pool: str | None) -> tuple[Values, str]:
    """Labels (n,) of the test cases by logistic regression on frozen embeddings, tuned."""
    split = prepared.split
    vectors = prepared.wish_vectors[prepared.wish_of_row]
    rows = np.flatnonzero(split.train)
    if pool is not None:
        names = imported(prepared.domain.name).catalogue()["pool"].to_numpy()
        rows = rows[names[split.sequences.items[rows]] == pool]
    labels = split.sequences.items
    validation, test = (pooled(prepared, part, pool) for part in ("validation", "test"))
    tried = []
    for strength in STRENGTHS:
        model = LogisticRegression(C=strength, max_iter=3000).fit(vectors[rows], labels[rows])
        found = model.predict(vectors[split.sequences.offsets[validation.users]])
        tried.append((macro_f1(found, split.targets(validation)), strength, model))
    _, strength, model = max(tried, key=lambda one: one[0])
    best = model.predict(vectors[split.sequences.offsets[test.users]])
    return best, f"logistic regression on frozen embeddings, C={strength:g}"


def classify_f1(n_seeds: int) -> list[Row]:
    """Polarity of financial texts."""

    def polarities(prepared: Prepared, model: Any, said: Values | None) -> Made:
        return {"labels": best_labels(model, prepared, said, None)}

    name = "finance_sentiment"
    prepared, made = predictions(name, (), n_seeds, polarities)
    return [labels_row(prepared, [one["labels"] for one in made], None, n_seeds)]


def best_labels(model: Any, prepared: Prepared, requests: Any, pool: str | None) -> Values:
    found = scores(model.score, prepared, pooled(prepared, "test", pool), requests)
    labels: Values = np.nanargmax(found, axis=1)
    print("macro-F1", macro_f1(labels, prepared.split.targets(pooled(prepared, "test", pool))))
    return labels


def labels_row(prepared: Prepared, ours: list[Values], pool: str | None, n_seeds: int) -> Row:
    theirs, peer = logistic(prepared, pool)
    truth = prepared.split.targets(pooled(prepared, "test", pool))
    protocol = f"{prepared.split.protocol}, {pool or 'all'} test texts"
    return row("classify_f1", macro_f1, "macro-F1", peer, ours, theirs[None], truth, prepared,
               n_seeds, protocol)  # fmt: skip


def support(n_seeds: int) -> list[Row]:
    """Intents of bank customers' questions, and the answers to others."""
    intents, answers = "banking77_intents", "bank_faq_answers"

    def both(prepared: Prepared, model: Any, said: Values | None) -> Made:
        places = places_of(model.score, prepared, answers, "test", said)
        return {"labels": best_labels(model, prepared, said, intents), "places": places}

    prepared, made = predictions("support", (), n_seeds, both)
    places = [one["places"] for one in made]
    rows = [labels_row(prepared, [one["labels"] for one in made], intents, n_seeds)]
    said = prepared.wish_vectors[prepared.wish_of_row]
    for family in (frozen, bm25):
        options = list(family(prepared))
        name, score = max(
            options,
            key=lambda o: mrr(places_of(o[1], prepared, answers, "validation", said)),
        )
        theirs = places_of(score, prepared, answers, "test", said)
        rows.append(
            row("answers_mrr", mrr, "MRR", name, places, theirs[None], np.zeros(len(theirs)),
                prepared, n_seeds, f"{prepared.split.protocol}, {answers}, all answers ranked")
        )  # fmt: skip
    return rows


def places_of(
    score: Any, prepared: Prepared, pool: str, part: Part, requests: Values | None
) -> Values:
    """Rank of each case's answer among all of its pool, (n,)."""
    cases = pooled(prepared, part, pool)
    nothing = np.full((len(cases), 1), -1, np.int32)
    found = scores(score, prepared, cases, requests)
    return ranks(found, prepared.split.targets(cases), nothing)


def mrr(places: Values, _: Values | None = None) -> float:
    return float((1 / places).mean())


PARTS: dict[str, Callable[[int], list[Row]]] = {
    "rate_rmse": rate_rmse,
    "classify_f1": classify_f1,
    "support": support,
}


def main() -> None:
    """Run the parts named on the command line, or all; each part has a file of rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--part", choices=PARTS, action="append")
    parser.add_argument(FRESH, action="store_true", help="remember nothing of earlier runs")
    given = parser.parse_args()
    torch.set_num_threads(1)
    for part in given.part or PARTS:
        command = f"python -m tests.benchmarks.tasks --seeds {given.seeds} --part {part}"
        rows = PARTS[part](given.seeds)
        write_rows(f"tasks_{part}", [one | {"command": command} for one in rows])


if __name__ == "__main__":
    main()
