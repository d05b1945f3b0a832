"""Time of an answer by user id over HTTP, beside a route that does nothing, in the same service.

One client with one kept-alive connection, in a process of its own; rounds of both routes
alternate, so that noise hits both. A replica remembers what it read of a history, so users are
asked for twice over: the row of the bar is about users seen before (an app that re-ranks, a
visitor who comes back), the row `http_user_p50_first` about users asked for the first time.
"""

from __future__ import annotations

import http.client
import json
import statistics
import subprocess
import sys
import time
from typing import Any
from urllib.parse import urlsplit

from crossrec.releases.store import ReleaseStore
from crossrec.serving.client import Client
from tests.benchmarks.rows import write_rows
from tests.benchmarks.served import DOMAIN, running, trained

N_ROUNDS = 10
N_REQUESTS = 200
"""Of each route in a round."""
N_USERS = 200


def times_ms(address: str, users: list[str]) -> dict[str, list[float]]:
    """Milliseconds of each request, by route; each user is asked for in turn."""
    place = urlsplit(address)
    connection = http.client.HTTPConnection(place.hostname or "", place.port)
    bodies = [json.dumps({"user_id": user}) for user in users]
    path = f"/v1/domains/{DOMAIN}/recommendations"
    known, strangers = bodies[:N_USERS], bodies[N_USERS:]
    found: dict[str, list[float]] = {"noop": [], "user": []}
    for round_ in range(N_ROUNDS + 1):  # the first warms up
        for number in range(N_REQUESTS):
            body = known[(round_ * N_REQUESTS + number) % len(known)]
            taken = _one(connection, "POST", path, body)
            found["user"] += [taken] * (round_ > 0)
        for _ in range(N_REQUESTS):
            found["noop"] += [_one(connection, "GET", "/noop/0/")] * (round_ > 0)
    found["first"] = [_one(connection, "POST", path, body) for body in strangers]
    return found


def _one(
    connection: http.client.HTTPConnection, method: str, path: str, body: str | None = None
) -> float:
    headers = {"Content-Type": "application/json"} if body else {}
    start = time.perf_counter()
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    content = answer.read()
    taken = (time.perf_counter() - start) * 1000
    if answer.status != 200:
        raise SystemExit(f"{path} answered {answer.status}: {content[:200]!r}")
    return taken


def main() -> None:
    """Serve, have another process measure, write the row."""
    store = ReleaseStore()
    loaded = trained(store)
    users = loaded.catalogue.example_users(2 * N_USERS)
    with running([DOMAIN], n_noops=1) as service:
        with Client(service.address) as client:
            assert client.recommend(DOMAIN, user_id=users[0]).based_on == ["history"]
        command = [sys.executable, "-m", "tests.benchmarks.http_user_p50", service.address]
        answer = subprocess.run(
            command, input=json.dumps(users), capture_output=True, text=True, check=True
        )
    found = json.loads(answer.stdout)
    data_hash = loaded.release.manifest.data_hash
    seen = f"{N_USERS} users in turn, each seen before, {N_ROUNDS} alternating rounds"
    first = f"{N_USERS} users, each for the first time, so that nothing of them is remembered"
    write_rows(
        "http_user_p50",
        [
            _row("http_user_p50", found["user"], found["noop"], seen, data_hash),
            _row("http_user_p50_first", found["first"], found["noop"], first, data_hash),
        ],
    )


def _row(
    name: str, times: list[float], noops: list[float], how: str, data_hash: str
) -> dict[str, Any]:
    ours, noop = statistics.median(times), statistics.median(noops)
    p95 = statistics.quantiles(times, n=20)[-1]
    return {
        "name": name,
        "domain": DOMAIN,
        "value": round(ours, 3),
        "unit": "ms",
        "peer": "a no-op FastAPI route of the same Serve",
        "peer_value": round(noop, 3),
        "ratio": round(ours / noop, 3),
        "n": len(times),
        "protocol": "p50 of one kept-alive client in a second process, HAProxy mode, k=10,"
        f" {how}; p95 {p95:.2f} ms",
        "data_hash": data_hash,
    }


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(times_ms(sys.argv[1], json.load(sys.stdin))))
    else:
        main()
