"""Makes one picture: `python -m crossrec.serving.drawing map|data DOMAIN EDITION FILE`.

A process of its own, started by pictures.py: it loads polars and scikit-learn and then ends.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from crossrec.data.dataset import Dataset
from crossrec.models.domain_model import DomainModel
from crossrec.releases.catalogue import CATALOGUE, Catalogue
from crossrec.releases.store import ReleaseStore
from crossrec.schema import CATEGORY, EVENT, ITEM_ID, RATING, REASON, TIMESTAMP, USER_ID

MAX_POINTS = 3000
"""Items on a map, drawn; t-SNE of as many takes about a quarter of a minute on one core."""
N_DIRECTIONS = 50
N_BARS = 20
N_ROWS = 5
COUNTED_ROWS = 1_000_000
"""Of larger tables distinct values are estimated."""
MIN_POINTS = 5

Row = dict[str, Any]
ADAPTED = "adapted"
VIEWS = {"text": "text", ADAPTED: "request", "trained": "sequence"}
"""View of the map → signal whose item vectors it shows; histories meet texts as the frozen encoder
says them, requests as the adapter does, where a release has one."""


def item_map(domain: str, version: str) -> Row:
    """Places of the items of a release on a plane, one map for each view that it has."""
    release = ReleaseStore().show(domain, version)
    folder = release.folder
    model, catalogue = DomainModel.load(folder), Catalogue(folder / CATALOGUE)
    n_items = catalogue.n_items
    rows = np.arange(n_items)
    if n_items > MAX_POINTS:
        rows = np.sort(np.random.default_rng(0).choice(n_items, MAX_POINTS, replace=False))
    views, methods = {}, {}
    for view, name in VIEWS.items():
        if view == ADAPTED and release.adapter_folder is None:
            continue
        vectors = getattr(model.signals_by_name.get(name), "vectors", None)
        if vectors is not None and len(vectors) == n_items:
            places, methods[view] = project(np.asarray(vectors, np.float32)[rows])
            views[view] = places.round(3).tolist()
    cards = catalogue.cards(rows.tolist(), [])
    counts, _ = catalogue.seen
    return {
        "views": views,
        "methods": methods,
        "item_ids": [card.item_id for card in cards],
        "titles": [card.title for card in cards],
        "categories": [card.category[0] if card.category else "" for card in cards],
        "n_train": counts[rows].tolist(),
        "n_items": n_items,
    }


def project(vectors: NDArray[np.float32]) -> tuple[NDArray[np.float32], str]:
    """(n, 2) places where like vectors are near, and how they were found.

    t-SNE on the first principal directions (van der Maaten and Hinton 2008), begun with PCA, so
    that the same vectors give the same map; of very few items PCA alone.
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    n = len(vectors)
    if n < MIN_POINTS:
        padded = np.pad(vectors, ((0, 0), (0, 2)))
        return padded[:, :2], "the first two numbers"
    reduced = PCA(min(N_DIRECTIONS, n, vectors.shape[1]), random_state=0).fit_transform(vectors)
    perplexity = min(30.0, (n - 1) / 3)
    tsne = TSNE(2, perplexity=perplexity, init="pca", random_state=0, n_jobs=1)
    how = f"PCA to {reduced.shape[1]} directions, then t-SNE (perplexity {perplexity:.0f})"
    return np.asarray(tsne.fit_transform(reduced), np.float32), how


def data_profile(domain: str, edition: str) -> Row:
    """What was imported, what was not and why, and how it is distributed; nothing of one user."""
    data = Dataset.open(domain)
    card = {name: value for name, value in data.card.items() if name not in ("domain", "files")}
    tables = [name for name in data.card.get("tables", {}) if data.has(name)]
    if not tables:  # a card of an older import lists none
        tables = [path.stem for path in sorted(data.folder.glob("*.parquet"))]
    columns = [row for name in tables for row in _columns(data, name)]
    return {
        "card": card,
        "rejected": _rejected(data.folder / "rejected.parquet"),
        "columns": columns,
        "distributions": [*_interactions(data), *_items(data, columns)],
    }


def _rejected(path: Path) -> list[Row]:
    if not path.is_file():
        return []
    frame = (
        pl.scan_parquet(path)
        .group_by("table", REASON)
        .agg(n=pl.len(), rows=pl.col("row").sort().head(N_ROWS))
    )
    return frame.sort("n", descending=True).collect().to_dicts()


def _columns(data: Dataset, table: str) -> list[Row]:
    """Of each column its kind, the share that is missing and how many values it has."""
    frame = data.scan(table)
    schema = frame.collect_schema()
    plain = [name for name, kind in schema.items() if not kind.is_nested()]
    nulls = frame.select(pl.len().alias("_n"), pl.all().null_count()).collect().row(0, named=True)
    values = pl.col(plain).drop_nulls()
    few = nulls["_n"] <= COUNTED_ROWS
    counted = values.n_unique() if few else values.approx_n_unique()
    distinct = frame.select(counted).collect().row(0, named=True)
    return [
        {
            "table": table,
            "column": name,
            "kind": str(kind),
            "missing": nulls[name] / max(1, nulls["_n"]),
            "distinct": distinct.get(name),
        }
        for name, kind in schema.items()
    ]


def _interactions(data: Dataset) -> list[Row]:
    if not data.has("interactions"):
        return []
    frame = data.scan("interactions")
    names = frame.collect_schema().names()
    found = []
    for each, name in ((USER_ID, "interactions per user"), (ITEM_ID, "interactions per item")):
        counts = frame.group_by(each).len().select("len").collect()["len"]
        found += _doubling(counts, name)
    for column, name in ((EVENT, "events"), (RATING, "ratings")):
        if column in names:
            found += _words(frame.select(column).collect()[column], "interactions", name)
    times = frame.select(TIMESTAMP).collect()[TIMESTAMP]
    clock = data.domain.time_kind == "unix_seconds"
    return found + _numbers(times, "interactions", "interactions over time", clock)


def _items(data: Dataset, columns: list[Row]) -> list[Row]:
    if not data.has("items"):
        return []
    items, found = data.catalogue(), []
    if CATEGORY in items.columns:
        found += _words(items[CATEGORY].explode(), "items", "categories")
    for row in columns:
        column = row["column"]
        if row["table"] != "items" or column in (ITEM_ID, CATEGORY):
            continue
        values = items[column]
        if values.dtype.is_numeric():
            found += _numbers(values, "items", column)
        elif values.dtype == pl.String and row["distinct"] <= len(items) / 2:
            found += _words(values, "items", column)
    return found


def _doubling(counts: pl.Series, name: str) -> list[Row]:
    """Bins that double (1, 2 to 3, 4 to 7, …): counts have a long tail."""
    lows = 2 ** np.floor(np.log2(counts.to_numpy())).astype(np.int64)
    found = zip(*np.unique(lows, return_counts=True), strict=True)
    return [
        _bar("interactions", name, f"{low}" if low == 1 else f"{low}-{2 * low - 1}", n, float(low))
        for low, n in found
    ]


def _words(values: pl.Series, table: str, name: str) -> list[Row]:
    counts = values.drop_nulls().cast(pl.String).value_counts(sort=True).head(N_BARS)
    return [_bar(table, name, value, n, None) for value, n in counts.iter_rows()]


def _numbers(values: pl.Series, table: str, name: str, clock: bool = False) -> list[Row]:
    array = values.drop_nulls().cast(pl.Float64).to_numpy()
    array = array[np.isfinite(array)]
    if not len(array):
        return []
    counts, edges = np.histogram(array, N_BARS)
    label: Callable[[float], str] = _day if clock else lambda value: f"{value:.4g}"
    return [
        _bar(table, name, label(low), n, float(low))
        for low, n in zip(edges[:-1], counts, strict=True)
    ]


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")


def _bar(table: str, name: str, label: str, n: int, low: float | None) -> Row:
    return {"table": table, "name": name, "label": label, "low": low, "n": int(n)}


KINDS: dict[str, Callable[[str, str], Row]] = {"map": item_map, "data": data_profile}


def main() -> None:
    """Write the picture beside its place, then move it there."""
    kind, domain, edition, path = sys.argv[1:]
    os.nice(10)  # nobody waits for it as for an answer
    text = json.dumps(KINDS[kind](domain, edition), ensure_ascii=False)
    beside = Path(path).with_name(f".{Path(path).name}-{os.getpid()}")
    beside.write_text(text, encoding="utf-8")
    os.replace(beside, path)


if __name__ == "__main__":
    main()
