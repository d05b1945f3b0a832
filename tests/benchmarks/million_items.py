"""A million items in one domain: what starting, an answer, a new item and memory take; what is
found of what an exact search finds.

Rows `million_*`, over a release that `million_release.py` makes out of the current one of `movies`.
The recall is of whole answers: ten items by all signals together, of known users, of requests in
words, and of both at once, beside those of the same release with every item scored. Times are of
one client with one kept-alive connection; memory is of the replicas, by process.
`python -m tests.benchmarks.million_items [ITEMS]`; the release is made where it is not there yet.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
import urllib.request
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from crossrec.config import home
from crossrec.models.encoder import TextEncoder
from crossrec.releases.store import LoadedRelease, ReleaseStore
from crossrec.serving.feedback_log import FeedbackLog
from crossrec.serving.launch import ServiceSettings, start
from crossrec.serving.messages import RecommendRequest
from crossrec.serving.process_tree import tree_of
from crossrec.serving.recommender import Recommender
from tests.benchmarks.million_release import NAME, publish
from tests.benchmarks.rows import write_rows
from tests.benchmarks.served import trained
from tests.ports import free_port

N_ITEMS = 1_000_000
K, N_ASKED, N_TIMED = 10, 40, 300
REPLICAS = 2


def bodies(loaded: LoadedRelease, kind: str, n: int) -> list[dict[str, Any]]:
    """Requests of a kind, each another one."""
    users = loaded.catalogue.example_users(n)
    titles = loaded.catalogue.titles(np.random.default_rng(1).integers(0, 1000, n).tolist())
    by_id = [{"user_id": user} for user in users]
    by_text = [{"text": f"something like {title.partition(' · ')[0]}"} for title in titles]
    both = [{**one, **other} for one, other in zip(by_id, by_text, strict=True)]
    return {"user": by_id, "text": by_text, "user and text": both}[kind]


async def recall(loaded: LoadedRelease, kind: str) -> tuple[float, float, float]:
    """Share of the exact answers' items, and the median seconds of both."""
    encoder = TextEncoder.load(loaded.release.manifest.encoder)

    async def encode(texts: list[str]) -> np.ndarray:
        return encoder.encode(texts)

    log = FeedbackLog(home() / "million.db")
    ours = Recommender(loaded, encode, log)
    exact = Recommender(replace(loaded, search=None), encode, log)
    found, times, whole = [], [], []
    for body in bodies(loaded, kind, N_ASKED):
        request = RecommendRequest(**body, k=K)
        await ours.recommend(request)  # the words are encoded, pages are read
        begun = time.perf_counter()
        answer = await ours.recommend(request)
        between = time.perf_counter()
        best = await exact.recommend(request)
        whole.append(time.perf_counter() - between)
        times.append(between - begun)
        assert (answer.search, best.search) == ("approximate", "exact")
        there = {item.item_id for item in best.items}
        found.append(len(there & {item.item_id for item in answer.items}) / K)
    log.close()
    return statistics.fmean(found), statistics.median(times), statistics.median(whole)


def asked(url: str, body: dict[str, Any], method: str = "POST") -> tuple[float, Any]:
    """Seconds, and the answer."""
    request = urllib.request.Request(
        url, json.dumps(body).encode(), {"Content-Type": "application/json"}, method=method
    )
    begun = time.perf_counter()
    with urllib.request.urlopen(request, timeout=600) as answer:
        return time.perf_counter() - begun, json.load(answer)


def memory(pid: int) -> tuple[float, float]:
    """MiB that a replica of the domain has to itself, mean; and of all of them together."""
    own, all_ = [], 0.0
    for process in tree_of(pid):
        if "ServeReplica:domains:" in " ".join(process.cmdline()):
            told = psutil.Process(process.pid).memory_full_info()
            own.append(told.uss / 2**20)
            all_ += told.pss / 2**20
    return statistics.fmean(own), all_


def served(loaded: LoadedRelease) -> list[dict[str, Any]]:
    """Rows of a running service."""
    settings = ServiceSettings(
        domains=[NAME], port=free_port(), access="loopback", replicas=REPLICAS
    )
    begun = time.perf_counter()
    rows = []
    with start(settings) as service:
        rows.append(row("million_start", time.perf_counter() - begun, "s", f"{REPLICAS} replicas"))
        url = f"{service.address}/v1/domains/{NAME}"
        for kind in ("user", "text", "user and text"):
            some = bodies(loaded, kind, N_TIMED)
            times = [1000 * asked(f"{url}/recommendations", body)[0] for body in some]
            p95 = statistics.quantiles(times, n=20)[-1]
            how = f"one client, {kind}, each another one; p95 {p95:.1f} ms"
            rows.append(row("million_p50", statistics.median(times), "ms", how, n=len(times)))
        own, together = memory(service.pid)
        how = f"private to a replica; {REPLICAS} replicas together {together:.0f} MiB"
        rows.append(row("million_memory", own, "MiB", how, n=REPLICAS))
        taken, _ = asked(f"{url}/explanations", why(url), "POST")
        rows.append(row("million_explain", taken, "s", "one item of one answer"))
        item = {"item_id": "new", "title": "A new film", "text": "a film about a lighthouse"}
        taken, _ = asked(f"{url}/items", {"items": [item]}, "PUT")
        _, answer = asked(f"{url}/recommendations", {"text": item["text"], "k": 100})
        there = "new" in [one["item_id"] for one in answer["items"]]
        how = f"one new item over HTTP; among the next 100: {there}"
        rows.append(row("million_upsert", taken, "s", how))
    return rows


def why(url: str) -> dict[str, Any]:
    """A request for an explanation of the first item of an answer."""
    request = {"text": "something about the sea", "k": K}
    _, answer = asked(f"{url}/recommendations", request)
    return {"request": request, "item_id": answer["items"][0]["item_id"]}


def row(name: str, value: float, unit: str, how: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "domain": NAME, "value": value, "unit": unit, "protocol": how, **more}


def main(n_items: int = N_ITEMS) -> None:
    """Make the release where there is none, then all rows."""
    store = ReleaseStore()
    if NAME not in store.domains() or store.show(NAME).manifest.n_items != n_items:
        begun = time.perf_counter()
        release = publish(store, trained(store), n_items, Path(home() / "data"))
        print(f"published {release.version} in {time.perf_counter() - begun:.0f} s", flush=True)
    begun = time.perf_counter()
    loaded = store.load(NAME)
    print(f"loaded in {time.perf_counter() - begun:.1f} s", flush=True)
    rows = []
    for kind in ("user", "text", "user and text"):
        share, seconds, whole = asyncio.run(recall(loaded, kind))
        how = f"{kind}, recall@{K} of answers; {1000 * seconds:.1f} ms, exact {1000 * whole:.0f} ms"
        rows.append(row("million_recall", share, "", how, n=N_ASKED))
        print(rows[-1], flush=True)
    rows += served(loaded)
    for one in rows:
        one["protocol"] = f"{n_items} items; {one['protocol']}"
    write_rows("million_items", rows)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
