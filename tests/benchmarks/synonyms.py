"""What rewording training requests by words of like meaning is worth (rows `synonyms`).

`training.synonym_share` over none: test requests of the domains where people asked, as in words.py;
and `movies`, whose training requests are made up, asked with the real requests of `movie_requests`
that led to one of its films. One seed unless asked for; minutes.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from crossrec.benchmark.compare import interval, ratio_draws
from crossrec.config import load_config
from crossrec.data.importing import imported
from crossrec.evaluation.metrics import set_ndcg
from crossrec.evaluation.protocols import Part
from crossrec.models.query import Queries
from crossrec.training.assemble import assemble
from crossrec.training.loop import fit
from crossrec.training.prepare import Prepared, prepare
from tests.benchmarks import words
from tests.benchmarks.rows import write_rows

Row = dict[str, Any]
Values = NDArray[np.float64]

MADE_UP, REAL = "movies", "movie_requests"
DOMAINS = (*words.DOMAINS, MADE_UP)
PARTS: tuple[Part, ...] = ("validation", "test")
FILM = "movies_item_id"
BATCH = 256


def trained(domain: str, share: float, seed: int) -> tuple[Prepared, dict[str, Values]]:
    """NDCG@10 of each case by the towers and by the whole model, on validation and test."""
    settings = [f"training.synonym_share={share}", f"training.seed={seed}"]
    settings += ["protocol=requests"] * (domain != MADE_UP)
    prepared = prepare(imported(domain), load_config(overrides=settings))
    fitted = fit(prepared)
    scores = {"towers": fitted.sequence().score, "model": assemble(prepared, fitted).score}
    if domain == MADE_UP:
        queries, right = real_requests(prepared)
        return prepared, {f"{of} test": asked(s, queries, right) for of, s in scores.items()}
    requests = fitted.network.texts.requests()
    assert requests is not None
    return prepared, {
        f"{of} {part}": words.judge(prepared, score, part, requests)
        for of, score in scores.items()
        for part in PARTS
    }


def real_requests(prepared: Prepared) -> tuple[Queries, NDArray[np.bool_]]:
    """What people said who were led to a film of the catalogue, and which films those were."""
    rows = (
        imported(REAL)
        .scan("requests")
        .filter(pl.col(FILM).is_not_null() & pl.col("liked").fill_null(True))
        .group_by("text", maintain_order=True)
        .agg(pl.col(FILM).cast(pl.String))
        .collect()
    )
    numbers = {item: number for number, item in enumerate(prepared.split.sequences.item_ids)}
    right = np.zeros((len(rows), len(numbers)), np.bool_)
    for row, films in enumerate(rows[FILM].to_list()):
        right[row, [numbers[film] for film in films if film in numbers]] = True
    known = right.any(axis=1)
    texts = [text for text, one in zip(rows["text"].to_list(), known, strict=True) if one]
    request = prepared.encoder.encode(texts, max_tokens=prepared.config.model.max_text_tokens)
    return _without_history(request, texts, prepared), right[known]


def _without_history(request: words.Floats, texts: list[str], prepared: Prepared) -> Queries:
    nothing = np.full((len(texts), 1), -1)
    sequences = prepared.split.sequences
    return Queries(
        items=nothing.astype(np.int32),
        times=np.zeros((len(texts), 1), np.int64),
        events=nothing.astype(np.int16),
        now=np.full(len(texts), sequences.times.max()),
        request=request,
        context={
            name: np.full((len(texts), *values.shape[1:]), np.nan, np.float32)
            for name, values in sequences.context.items()
        },
        words=tuple(texts),
    )


def asked(score: words.Score, queries: Queries, right: NDArray[np.bool_]) -> Values:
    """NDCG@10 of each request, over the whole catalogue."""
    values = []
    for rows in _batches(len(right)):
        some = queries.take(rows)
        values.append(set_ndcg(score(some), right[rows], some.items, 10))
    return np.concatenate(values)


def _batches(n: int) -> Iterator[NDArray[np.int64]]:
    for start in range(0, n, BATCH):
        yield np.arange(start, min(start + BATCH, n))


def rows_of(domain: str, share: float, n_seeds: int) -> list[Row]:
    """Towers and model, with over without."""
    found: dict[float, dict[str, Values]] = {}
    for one in (0.0, share):
        runs = []
        for seed in range(n_seeds):
            prepared, values = trained(domain, one, seed)
            runs.append(values)
        found[one] = {key: np.mean([run[key] for run in runs], axis=0) for key in runs[0]}
        told = ", ".join(f"{key} {value.mean():.4f}" for key, value in found[one].items())
        print(f"{domain} share {one}: {told}", flush=True)
    return [
        row(prepared, share, key, found[share][key], found[0.0][key], n_seeds) for key in found[0.0]
    ]


def row(
    prepared: Prepared, share: float, key: str, mine: Values, others: Values, n_seeds: int
) -> Row:
    """One figure with over without."""
    name = prepared.domain.name
    by = f"{len(mine)} real requests of {REAL}" if name == MADE_UP else "requests"
    return {
        "name": "synonyms",
        "domain": name,
        "value": float(mine.mean()),
        "unit": "ndcg@10",
        "peer": "the same without",
        "peer_value": float(others.mean()),
        "ratio": float(mine.mean() / others.mean()),
        "n": len(mine),
        "ci95": list(interval(ratio_draws(mine, others))),
        "seeds": list(range(n_seeds)),
        "protocol": f"{by}, {key}, training.synonym_share={share:g};"
        " ci95 is of the ratio, paired over requests",
        "data_hash": prepared.data_hash,
    }


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--domains", nargs="+", default=list(DOMAINS), choices=DOMAINS)
    parser.add_argument("--share", type=float, default=0.3)
    parser.add_argument("--seeds", type=int, default=1)
    given = parser.parse_args()
    torch.set_num_threads(1)
    write_rows(
        "synonyms", [r for name in given.domains for r in rows_of(name, given.share, given.seeds)]
    )


if __name__ == "__main__":
    main()
