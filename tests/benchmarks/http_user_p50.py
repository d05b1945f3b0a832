"""Time of an answer by user id over HTTP, beside a route that does nothing, in the same service.

One client with one kept-alive connection, in a process of its own; rounds of both routes
alternate, so that noise hits both.
"""

from __future__ import annotations

import http.client
import json
import statistics
import subprocess
import sys
import time
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
    found: dict[str, list[float]] = {"noop": [], "user": []}
    for round_ in range(N_ROUNDS + 1):  # the first warms up
        for number in range(N_REQUESTS):
            body = bodies[(round_ * N_REQUESTS + number) % len(bodies)]
            path = f"/v1/domains/{DOMAIN}/recommendations"
            taken = _one(connection, "POST", path, body)
            found["user"] += [taken] * (round_ > 0)
        for _ in range(N_REQUESTS):
            found["noop"] += [_one(connection, "GET", "/noop/0/")] * (round_ > 0)
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
    users = loaded.catalogue.example_users(N_USERS)
    with running([DOMAIN], n_noops=1) as service:
        with Client(service.address) as client:
            assert client.recommend(DOMAIN, user_id=users[0]).based_on == ["history"]
        command = [sys.executable, "-m", "tests.benchmarks.http_user_p50", service.address]
        answer = subprocess.run(
            command, input=json.dumps(users), capture_output=True, text=True, check=True
        )
    found = json.loads(answer.stdout)
    ours, noop = statistics.median(found["user"]), statistics.median(found["noop"])
    p95 = statistics.quantiles(found["user"], n=20)[-1]
    row = {
        "name": "http_user_p50",
        "domain": DOMAIN,
        "value": round(ours, 3),
        "unit": "ms",
        "peer": "a no-op FastAPI route of the same Serve",
        "peer_value": round(noop, 3),
        "ratio": round(ours / noop, 3),
        "n": len(found["user"]),
        "protocol": "p50 of one kept-alive client in a second process, HAProxy mode, k=10,"
        f" {N_USERS} users in turn, {N_ROUNDS} alternating rounds; p95 {p95:.2f} ms",
        "data_hash": loaded.release.manifest.data_hash,
    }
    write_rows("http_user_p50", [row])


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(times_ms(sys.argv[1], json.load(sys.stdin))))
    else:
        main()
