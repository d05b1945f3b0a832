"""Reads the page of figures that Prometheus gets into rows that people look at, and alerts.

All sums are since the service began; rates over time are Prometheus' own. Thresholds are those of
cluster/observability/alerts.yml. Leaves to others: counting (metrics.py), the page
(metrics_page.py).
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

Row = dict[str, Any]
SLOW_S = 0.25
"""A twentieth of the answers may take longer before it is said."""
FAILING = 0.01
"""Share of requests."""
DRIFTED = 0.25
"""Population stability index above which much has changed."""
ENOUGH = 500
"""Answers before anything is said about drift."""
TENTHS = 10


@dataclass(frozen=True)
class Figures:
    """What the page says."""

    requests: list[Row]
    """domain, route, status, n, mean_ms, p50_ms, p95_ms."""
    stages: list[Row]
    """domain, route, stage, n, mean_ms."""
    drift: list[Row]
    """domain, answers, psi (null below ENOUGH answers), words, unknown_words (share)."""
    alerts: list[str]


def read_page(page: bytes) -> Figures:
    """The page as rows."""
    from prometheus_client.parser import text_string_to_metric_families

    samples: dict[str, list[tuple[dict[str, str], float]]] = defaultdict(list)
    for family in text_string_to_metric_families(page.decode()):
        for sample in family.samples:
            samples[sample.name].append((sample.labels, sample.value))
    requests = _timed(samples, "crossrec_request_seconds", ("domain", "route", "status"))
    stages = _timed(samples, "crossrec_stage_seconds", ("domain", "route", "stage"))
    drift = _drift(samples)
    return Figures(requests, stages, drift, _alerts(requests, drift))


Samples = dict[str, list[tuple[dict[str, str], float]]]


def _timed(samples: Samples, name: str, labels: tuple[str, ...]) -> list[Row]:
    """One row a label set of a histogram of seconds."""
    totals = {_key(found, labels): value for found, value in samples[f"{name}_sum"]}
    buckets: dict[tuple[str, ...], list[tuple[float, float]]] = defaultdict(list)
    for found, value in samples[f"{name}_bucket"]:
        buckets[_key(found, labels)].append((float(found["le"]), value))
    rows = []
    for key, bounds in sorted(buckets.items()):
        n = max(count for _, count in bounds)
        if not n:
            continue
        times = {f"p{share}_ms": _quantile(bounds, share / 100) for share in (50, 95)}
        mean = 1000 * totals.get(key, 0.0) / n
        named: Row = dict(zip(labels, key, strict=True))
        rows.append({**named, "n": int(n), "mean_ms": mean, **times})
    return rows


def _key(found: dict[str, str], labels: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(found.get(label, "") for label in labels)


def _quantile(bounds: list[tuple[float, float]], share: float) -> float:
    """Milliseconds below which a share of them lies, straight between two bounds, as Prometheus'
    histogram_quantile; above the last bound that bound.

    >>> _quantile([(0.1, 5.0), (0.2, 10.0), (float("inf"), 10.0)], 0.75)
    150.0
    """
    ordered = [(0.0, 0.0), *sorted(bounds)]
    wanted = share * ordered[-1][1]
    for (low, before), (high, count) in pairwise(ordered):
        if count >= wanted:
            if high == float("inf"):
                return 1000 * low
            return round(1000 * (low + (high - low) * (wanted - before) / (count - before)), 3)
    return 1000 * ordered[-1][0]


def _drift(samples: Samples) -> list[Row]:
    tenths: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(TENTHS))
    for found, value in samples["crossrec_top_score_total"]:
        tenths[found["domain"]][int(found["tenth"]) - 1] += value
    words: dict[str, dict[str, float]] = defaultdict(lambda: {"yes": 0.0, "no": 0.0})
    for found, value in samples["crossrec_words_total"]:
        words[found["domain"]][found["known"]] += value
    rows = []
    for domain in sorted({*tenths, *words}):
        answers, said = tenths[domain].sum(), sum(words[domain].values())
        # Half an answer more in each tenth, so that an empty one counts and is no infinity.
        shares = (tenths[domain] + 0.5) / (answers + 0.5 * TENTHS)
        psi = float(((shares - 1 / TENTHS) * np.log(shares * TENTHS)).sum())
        rows.append(
            {
                "domain": domain,
                "answers": int(answers),
                "psi": psi if answers >= ENOUGH else None,
                "words": int(said),
                "unknown_words": words[domain]["no"] / said if said else None,
            }
        )
    return rows


def _alerts(requests: list[Row], drift: list[Row]) -> list[str]:
    found = []
    for domain in sorted({row["domain"] for row in requests}):
        own = [row for row in requests if row["domain"] == domain]
        n = sum(row["n"] for row in own)
        failed = sum(row["n"] for row in own if row["status"].startswith("5"))
        if failed / n > FAILING:
            found.append(f"{domain}: {failed:,} of {n:,} requests failed")
        found += [
            f"{domain}: a twentieth of the answers takes over {row['p95_ms']:.0f} ms"
            for row in own
            if row["route"] == "recommendations"
            and row["status"] == "200"
            and row["n"] >= ENOUGH
            and row["p95_ms"] > 1000 * SLOW_S
        ]
    found += [
        f"{row['domain']}: best scores are not what they were in the release's data"
        f" (stability index {row['psi']:.2f})"
        for row in drift
        if row["psi"] is not None and row["psi"] > DRIFTED
    ]
    return found
