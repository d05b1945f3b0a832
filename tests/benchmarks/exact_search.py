"""Item search by itself: exact, over FAISS' flat index; and the index of very many items.

Row `exact_search`: the ten best of 100,000 texts for one request, as a replica finds them (the
scores of the signal `request`, then the best), over `faiss.IndexFlatIP`, one thread each, in turn.
Rows `index_recall`: of a million texts, the share of the exact ten best that are among the
candidates of `ItemIndex`, at the settings that releases have; for requests in words, and for means
of five texts that have nothing in common, which are the hardest: their best are in many lists.

Texts are those that trainings below `$CROSSREC_HOME` have encoded, and others made up near them, as
in million_release.py.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from crossrec.config import SearchConfig, home
from crossrec.models.query import Queries
from crossrec.models.text_signals import RequestSignal, unit
from crossrec.ranking.item_index import ItemIndex
from crossrec.ranking.rerank import top_k
from tests.benchmarks.rows import write_rows

Floats = NDArray[np.float32]
N_EXACT, N_MANY, K, WIDTH = 100_000, 1_000_000, 10, 384
N_REQUESTS, N_TIMED = 200, 300
MOST_REAL, OWN = 150_000, (0.3, 0.9)
ROWS = 50_000


def real_texts() -> Floats:
    """(n, WIDTH) distinct text vectors of all domains that were trained."""
    files = sorted((home() / "cache" / "text").glob("*.npy"))
    found = [np.load(file, mmap_mode="r") for file in files]
    kept = [np.asarray(one[:MOST_REAL], np.float32) for one in found if one.shape[-1] == WIDTH]
    if not kept:
        raise SystemExit("no encoded texts below $CROSSREC_HOME; train some domains first")
    every = np.concatenate(kept)
    _, first = np.unique(every[:, :4], axis=0, return_index=True)  # four numbers tell them apart
    rng = np.random.default_rng(0)
    return every[rng.permutation(first)[:MOST_REAL]]


def near(real: Floats, n: int, rng: np.random.Generator) -> Floats:
    """(n, WIDTH) texts near real ones."""
    spread, found = real.std(axis=0), np.empty((n, WIDTH), np.float32)
    for start in range(0, n, ROWS):
        some = found[start : start + ROWS]
        noise = unit(rng.normal(size=some.shape).astype(np.float32) * spread)
        length = rng.uniform(*OWN, (len(some), 1)).astype(np.float32)
        some[:] = real[rng.integers(0, len(real), len(some))] + length * noise
    return found


def asked(requests: Floats) -> Queries:
    """Requests in words alone: (B, WIDTH)."""
    nothing, never = np.full((len(requests), 1), -1), np.zeros(len(requests), np.int64)
    return Queries(
        nothing.astype(np.int32), never[:, None], nothing.astype(np.int16), never, requests
    )


def exact_row(texts: Floats, requests: Floats) -> dict[str, Any]:
    """Ours and FAISS' in turn."""
    signal = RequestSignal(unit(texts - texts.mean(axis=0)), texts.mean(axis=0))
    flat = faiss.IndexFlatIP(WIDTH)
    flat.add(signal.vectors)
    meanings = signal.meanings(asked(requests))
    searches: dict[str, Callable[[int], NDArray[Any]]] = {
        "ours": lambda n: top_k(signal.score(asked(requests[n : n + 1]))[0], K),
        "faiss": lambda n: flat.search(meanings[n : n + 1], K)[1][0],
    }
    times: dict[str, list[float]] = {name: [] for name in searches}
    for turn in range(N_TIMED):
        n = turn % len(requests)
        answers = {}
        for name, search in searches.items():
            begun = time.perf_counter()
            answers[name] = search(n)
            times[name].append(1000 * (time.perf_counter() - begun))
        assert len(set(answers["ours"]) & set(answers["faiss"])) >= K - 1  # rounding may swap two
    ours, theirs = (statistics.median(times[name]) for name in ("ours", "faiss"))
    return {
        "name": "exact_search",
        "value": ours,
        "unit": "ms",
        "peer": "faiss.IndexFlatIP",
        "peer_value": theirs,
        "ratio": ours / theirs,
        "n": N_TIMED,
        "protocol": f"ten best of {N_EXACT} x {WIDTH}, one request, one thread, median, in turn",
    }


def index_rows(texts: Floats, asked_for: dict[str, Floats]) -> list[dict[str, Any]]:
    """Recall of the index, by kind of query."""
    vectors = unit(texts - texts.mean(axis=0))
    begun = time.perf_counter()
    index = ItemIndex.build(lambda rows: vectors[rows], len(vectors))
    built = time.perf_counter() - begun
    with TemporaryDirectory() as folder:
        path = Path(folder) / "index.faiss"
        index.save(path)
        size = path.stat().st_size / 2**20
        index = ItemIndex.load(path)
        settings = SearchConfig()
        look = partial(index.largest, n=settings.n_candidates, share=settings.effort)
        return [
            _recall(vectors, kind, queries, look) | _said(settings, built, size, index)
            for kind, queries in asked_for.items()
        ]


def _recall(
    vectors: Floats, kind: str, queries: Floats, look: Callable[..., NDArray[np.int64]]
) -> dict[str, Any]:
    found, times, whole = [], [], []
    for query in queries:
        begun = time.perf_counter()
        candidates = look(query)
        times.append(time.perf_counter() - begun)
        begun = time.perf_counter()
        best = top_k(vectors @ query, K)
        whole.append(time.perf_counter() - begun)
        found.append(np.isin(best, candidates).mean())
    return {
        "name": "index_recall",
        "domain": kind,
        "value": float(np.mean(found)),
        "unit": "recall@10",
        "n": len(queries),
        "peer": "exact search, ms (ours in the protocol)",
        "peer_value": 1000 * statistics.median(whole),
        "ratio": statistics.median(times) / statistics.median(whole),
    }


def _said(settings: SearchConfig, built: float, size: float, index: ItemIndex) -> dict[str, Any]:
    return {
        "protocol": f"{N_MANY} x {WIDTH}, {index.n_lists} lists, {settings.effort:.0%} of them"
        f" read, {settings.n_candidates} candidates; built in {built:.0f} s, {size:.0f} MiB;"
        " ratio: time of a look-up over that of exact search",
    }


def main() -> None:
    """Both kinds of rows, by one thread."""
    with threadpool_limits(1):
        faiss.omp_set_num_threads(1)
        write_rows("exact_search", rows())


def rows() -> list[dict[str, Any]]:
    rng = np.random.default_rng(1)
    real = real_texts()
    few = near(real, N_EXACT, rng)
    found = [exact_row(few, near(real, N_REQUESTS, rng))]
    many = near(real, N_MANY, rng)
    centre = many.mean(axis=0)
    mixed = many[rng.integers(0, N_MANY, (N_REQUESTS, 5))].mean(axis=1)
    queries = {"requests": near(real, N_REQUESTS, rng), "mixed histories": mixed}
    return found + index_rows(many, {kind: unit(of - centre) for kind, of in queries.items()})


if __name__ == "__main__":
    main()
