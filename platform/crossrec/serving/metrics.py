"""What a replica counts and times, kept in plain dicts and written to a file now and then.

Each process writes `<home>/metrics/<service>/<source>.json`; the system application reads all files
of its service when it is asked and answers in Prometheus' format (metrics_page.py). So no replica
needs a port, a client library (1.4 MiB a process) or a way to another one, and several nodes need
no more than the home that they share anyway. Leaves to others: the clock of a request (stages.py),
what is unusual in requests (drift.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import time
import uuid
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from crossrec.config import home
from crossrec.releases.store import LoadedRelease
from crossrec.serving.messages import FeedbackEvent, FeedbackResponse
from crossrec.serving.stages import Stages

WRITE_EVERY_S = 2.0
KEEP_DAYS = 7.0
"""How long the figures of a service that has ended are kept."""
ENDED = "ended.json"
"""What all processes counted that have ended long ago; of the others each has a file."""
ENDED_S = 86_400.0
"""A process that wrote nothing for so long never will."""
SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
COUNTS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0)

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""Prometheus' text format."""

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Family:
    """All figures of one name."""

    kind: Literal["counter", "gauge", "histogram"]
    help: str
    buckets: tuple[float, ...] = ()
    merge: Literal["sum", "largest", "newest"] = "sum"
    """Of what several processes say. largest: of a gauge that is the same in all replicas; newest:
    of one that a single process has, for the one before it may have been killed just now."""


FAMILIES = {
    "crossrec_request_seconds": Family(
        "histogram", "Time of requests in a replica, by route and status.", SECONDS
    ),
    "crossrec_stage_seconds": Family(
        "histogram", "Parts of the time of requests; those of a route sum to the whole.", SECONDS
    ),
    "crossrec_in_flight": Family("gauge", "Requests that a replica is working on."),
    "crossrec_feedback_events": Family("counter", "Feedback that can be stored, by event."),
    "crossrec_feedback_refused": Family("counter", "Feedback that was rejected or known already."),
    "crossrec_answers": Family("counter", "Lists of items, by whether the user is known."),
    "crossrec_release_info": Family("gauge", "Replicas that answer from a release."),
    "crossrec_release_quality": Family(
        "gauge", "Figures of the served release's test.", (), "largest"
    ),
    "crossrec_items": Family("gauge", "Items that can be recommended.", (), "largest"),
    "crossrec_request_words": Family("histogram", "Words in a request.", COUNTS),
    "crossrec_words": Family("counter", "Words of requests, by whether an item has them."),
    "crossrec_expected_unknown_words": Family(
        "gauge",
        "Share of the words of an item's text that no other item has; expected of requests too.",
        (),
        "largest",
    ),
    "crossrec_top_score": Family(
        "counter", "Best scores of known users, by the tenth of the release's own they fall in."
    ),
    "crossrec_encoder_batch_texts": Family("histogram", "Texts in a batch of the encoder.", COUNTS),
    "crossrec_encoder_seconds": Family(
        "histogram", "Stages of the encoder's batches, and what jobs waited for one.", SECONDS
    ),
    "crossrec_adapter_resident": Family("gauge", "Encoders that hold an adapter."),
    "crossrec_learner_version": Family("gauge", "Version of the learned weights.", (), "newest"),
    "crossrec_learner_learning": Family(
        "gauge", "1: weights are learned; 0: they are frozen.", (), "newest"
    ),
    "crossrec_learner_choices": Family("counter", "Choices read by a learner, by outcome."),
    "crossrec_learner_flagged": Family(
        "gauge", "Users and addresses beyond their cap in this window, how many.", (), "newest"
    ),
    "crossrec_learner_weight": Family(
        "gauge", "Learned weight of an objective, in the choices' mean context.", (), "newest"
    ),
}  # fmt: skip
"""Every name that is exported; a counter's gets `_total` in Prometheus' format."""


class Metrics:
    """The figures of one process."""

    def __init__(self, **labels: str) -> None:
        """Labels given here are part of every figure."""
        self._own = labels
        self._values: dict[tuple[str, Labels], float | list[float]] = {}
        self._asked: dict[tuple[str, Labels], Callable[[], float]] = {}

    def add(self, name: str, value: float = 1.0, **labels: str) -> None:
        """Raise a counter."""
        key = name, self._labels(labels)
        self._values[key] = self._values.get(key, 0.0) + value  # type: ignore[operator]

    def set(self, name: str, value: float, **labels: str) -> None:
        """Set a gauge."""
        self._values[name, self._labels(labels)] = value

    def ask(self, name: str, value: Callable[[], float], **labels: str) -> None:
        """A gauge that is read when the figures are written."""
        self._asked[name, self._labels(labels)] = value

    def forget(self, name: str) -> None:
        """Drop all figures of a name."""
        self._values = {key: value for key, value in self._values.items() if key[0] != name}

    def observe(self, name: str, value: float, **labels: str) -> None:
        """Put a value into a histogram: counts of its buckets, of what is above, and the sum."""
        key, buckets = (name, self._labels(labels)), FAMILIES[name].buckets
        found = self._values.get(key)
        if found is None:
            found = self._values[key] = [0.0] * (len(buckets) + 2)
        assert isinstance(found, list), f"{name} is no histogram"
        found[bisect_left(buckets, value)] += 1
        found[-1] += value

    def request(self, route: str, status: int, whole_s: float, stages: Stages) -> None:
        """Count a request that was answered: how long it took, and its parts."""
        self.observe("crossrec_request_seconds", whole_s, route=route, status=str(status))
        for stage, seconds in stages.seconds.items():
            self.observe("crossrec_stage_seconds", seconds, route=route, stage=stage)

    def feedback(
        self,
        events: Sequence[FeedbackEvent],
        answer: FeedbackResponse,
        meaning: Callable[[str], str],
    ) -> None:
        """Count feedback; the names of rejected events may be anything, so they are no label."""
        rejected = {one.event_id for one in answer.rejected}
        kept = (event.event for event in events if event.event_id not in rejected)
        for event, n in Counter(kept).items():
            self.add("crossrec_feedback_events", n, event=event, meaning=meaning(event))
        self.add("crossrec_feedback_refused", len(answer.rejected), reason="rejected")
        self.add("crossrec_feedback_refused", answer.duplicates, reason="duplicate")

    def snapshot(self) -> list[list[Any]]:
        """[name, labels, value] of every figure; a histogram's value is a list."""
        asked = {key: value() for key, value in self._asked.items()}
        return [[name, dict(labels), v] for (name, labels), v in (self._values | asked).items()]

    def _labels(self, labels: dict[str, str]) -> Labels:
        return tuple((self._own | labels).items())


def describe_release(metrics: Metrics, loaded: LoadedRelease) -> None:
    """Say what a replica answers from, in place of what was said before."""
    for name in ("crossrec_release_info", "crossrec_release_quality", "crossrec_items"):
        metrics.forget(name)
    release = loaded.release
    adapter = "yes" if release.adapter_folder else "no"
    metrics.set("crossrec_release_info", 1, release=release.version, adapter=adapter)
    metrics.set("crossrec_items", loaded.catalogue.n_items)
    for figure, value in release.metrics.get("metrics", {}).items():
        if value is not None:  # there was a case to be judged by
            metrics.set("crossrec_release_quality", value, figure=figure)


def metrics_folder(service: str) -> Path:
    """Where the replicas of a service write their figures."""
    return home() / "metrics" / service


async def write_forever(metrics: Metrics, folder: Path) -> None:
    """Write the figures of this process every WRITE_EVERY_S, into a file of its own.

    A file stays when its process ends, and is part of ENDED a day later: counters never fall while
    a service runs.
    """
    path = own_file(folder)
    while True:
        write_figures(metrics, path)
        await asyncio.sleep(WRITE_EVERY_S)


def own_file(folder: Path) -> Path:
    """Where this process is to write its figures; what services left that ended long ago goes, what
    processes left becomes one file.
    """
    with contextlib.suppress(OSError):  # another process may be at it too
        _prune(folder.parent)
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(OSError, ValueError), (folder / "lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _fold(folder)
    return folder / f"{os.getpid()}-{uuid.uuid4().hex[:8]}.json"


def write_figures(metrics: Metrics, path: Path) -> None:
    """All figures as they are now; those of before stay where the disk is full."""
    with contextlib.suppress(OSError):
        _write(path, {"written_at": time.time(), "values": metrics.snapshot()})


def written(folder: Path) -> list[dict[str, Any]]:
    """What the processes of a service wrote, each once: `written_at` and, as in `snapshot`,
    `values`.
    """
    found = {path.name: path for path in folder.glob("*.json") if path.name != ENDED}
    contents = {name: content for name, path in found.items() if (content := _read(path))}
    ended = _ended(folder)  # last: it has whatever was removed meanwhile
    return [ended, *(one for name, one in contents.items() if name not in ended["names"])]


def _fold(folder: Path) -> None:
    """Make the files of processes that ended a part of ENDED; by one process at a time.

    The names of those files stay there: one that could not be removed, or that is being read just
    now, is not counted twice.
    """
    now = time.time()
    paths = [path for path in folder.glob("*.json") if path.name != ENDED]
    old = [path for path in paths if now - path.stat().st_mtime > ENDED_S]
    if not old:
        return
    ended = _ended(folder)
    new = {path.name: _read(path) for path in old if path.name not in ended["names"]}
    sums: dict[tuple[str, Labels], Any] = {}
    for content in (ended, *filter(None, new.values())):
        for name, labels, value in content["values"]:
            if name in FAMILIES and FAMILIES[name].kind != "gauge":
                key = name, tuple(sorted(labels.items()))
                sums[key] = add_up(sums[key], value) if key in sums else value
    values = [[name, dict(labels), value] for (name, labels), value in sums.items()]
    names = [*ended["names"], *new]
    _write(folder / ENDED, {"written_at": 0.0, "names": names, "values": values})
    for path in old:
        path.unlink()


def add_up(first: Any, second: Any) -> Any:
    """Of a counter, or of a histogram, what two processes counted."""
    if isinstance(first, list):
        return [a + b for a, b in zip(first, second, strict=True)]
    return first + second


def _ended(folder: Path) -> dict[str, Any]:
    return _read(folder / ENDED) or {"written_at": 0.0, "names": [], "values": []}


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return found


def _prune(services: Path) -> None:
    """Remove the files of services that ended KEEP_DAYS ago."""
    for folder in services.iterdir() if services.is_dir() else ():
        files = list(folder.iterdir())
        if all(time.time() - file.stat().st_mtime > KEEP_DAYS * 86_400 for file in files):
            for file in files:
                file.unlink(missing_ok=True)  # another process may be at it too
            with contextlib.suppress(OSError):  # somebody has just begun to write there
                folder.rmdir()


def _write(path: Path, content: dict[str, Any]) -> None:
    """Whole or not at all: it may be read at any moment."""
    beside = path.with_suffix(".tmp")
    beside.write_text(json.dumps(content), encoding="utf-8")
    beside.replace(path)
