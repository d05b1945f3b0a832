"""The figures of all processes of a service as one page in Prometheus' text format.

Counters and histograms of all processes are added up, also of those that ended; gauges are of the
living, the same labels added up too, unless their family says otherwise. Leaves to others: counting
(metrics.py).
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from operator import itemgetter
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from crossrec.serving.metrics import FAMILIES, Family, add_up, written

ALIVE_S = 15.0
"""A process that wrote nothing for so long has ended."""

Labels = tuple[tuple[str, str], ...]


def metrics_page(folder: Path) -> bytes:
    """What all processes wrote, added up."""
    registry = CollectorRegistry()
    registry.register(_Merged(folder))
    return generate_latest(registry)


class _Merged(Collector):
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> Iterator[Metric]:
        """One family after the other."""
        sums: dict[str, dict[Labels, Any]] = defaultdict(dict)
        for name, labels, value in _figures(self._folder):
            key = tuple(sorted(labels.items()))
            merge = _MERGES[FAMILIES[name].merge]
            before = sums[name].get(key)
            sums[name][key] = value if before is None else merge(before, value)
        for name in sorted(sums):
            yield _family(name, FAMILIES[name], sums[name])


def _figures(folder: Path) -> Iterator[tuple[str, dict[str, str], Any]]:
    for content in sorted(written(folder), key=itemgetter("written_at")):
        alive = time.time() - content["written_at"] < ALIVE_S
        for name, labels, value in content["values"]:
            family = FAMILIES.get(name)  # another version of the package may know others
            if family is not None and (alive or family.kind != "gauge"):
                yield name, labels, value


def _newest(before: Any, value: Any) -> Any:
    return value


_MERGES: dict[str, Callable[[Any, Any], Any]] = {"sum": add_up, "largest": max, "newest": _newest}


def _family(name: str, family: Family, values: dict[Labels, Any]) -> Metric:
    names = sorted({label for labels in values for label, _ in labels})
    if family.kind == "histogram":
        return _histogram(name, family, values, names)
    kind = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
    made = kind(name, family.help, labels=names)
    for labels, value in values.items():
        made.add_metric(_ordered(labels, names), value)
    return made


def _histogram(
    name: str, family: Family, values: dict[Labels, list[float]], names: list[str]
) -> Metric:
    made = HistogramMetricFamily(name, family.help, labels=names)
    for labels, (*counts, total) in values.items():
        below, buckets = 0.0, []
        for bound, count in zip([*map(str, family.buckets), "+Inf"], counts, strict=True):
            below += count
            buckets.append((bound, below))
        made.add_metric(_ordered(labels, names), buckets, total)
    return made


def _ordered(labels: Labels, names: list[str]) -> list[str]:
    given = dict(labels)
    return [given.get(name, "") for name in names]
