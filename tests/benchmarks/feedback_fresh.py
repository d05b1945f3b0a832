"""From what somebody does to answers that know it: their own next one, and the weights of all.

The service is a real one (Ray Serve, HAProxy, two replicas, the learner's process). One client
with kept-alive connections sends a choice, waits until it is acknowledged, and asks again at once.
"""

from __future__ import annotations

import http.client
import json
import statistics
import time
from typing import Any
from urllib.parse import urlsplit

from crossrec.serving.client import Client
from crossrec.serving.launch import ServiceSettings, start
from tests.benchmarks.learner_town import DOMAIN, K, release
from tests.benchmarks.rows import write_rows
from tests.ports import free_port

N_USERS = 300
N_VERSIONS = 40
REPLICAS = 2
AGREE = 30
"""Answers in a row that have the new weights: by then both replicas have given some."""
PATH = f"/v1/domains/{DOMAIN}"
GIVE_UP_S = 30.0


class Caller:
    """Posts JSON over connections that it keeps."""

    def __init__(self, address: str) -> None:
        place = urlsplit(address)
        self._connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=30)
        self._n = 0

    def post(self, route: str, body: dict[str, Any]) -> dict[str, Any]:
        headers = {"Content-Type": "application/json"}
        self._connection.request("POST", f"{PATH}/{route}", json.dumps(body), headers)
        answer = self._connection.getresponse()
        content = answer.read()
        if answer.status != 200:
            raise SystemExit(f"{route} answered {answer.status}: {content[:300]!r}")
        found: dict[str, Any] = json.loads(content)
        return found

    def ask(self, user: str) -> dict[str, Any]:
        """An answer by user id."""
        return self.post("recommendations", {"user_id": user, "k": K})

    def take(self, user: str, item: str, request_id: str) -> None:
        """A choice; it is on disk when this returns."""
        self._n += 1
        event = {"event_id": f"fresh-{time.time_ns()}-{self._n}", "user_id": user, "item_id": item,
                 "event": "visit", "request_id": request_id}  # fmt: skip
        self.post("feedback", {"events": [event]})


def own_answers(caller: Caller, users: list[str]) -> list[float]:
    """Milliseconds from sending a choice to the answer that knows of it, of each user.

    Raises:
        SystemExit: the next answer did not know of it.
    """
    found = []
    for user in users:
        before = caller.ask(user)
        item = before["items"][0]["item_id"]
        begin = time.perf_counter()
        caller.take(user, item, before["request_id"])
        after = caller.ask(user)
        taken = (time.perf_counter() - begin) * 1000
        if item in [one["item_id"] for one in after["items"]] or not after["user_known"]:
            raise SystemExit(f"the next answer to '{user}' does not know of their choice")
        found.append(taken)
    return found


def weights_everywhere(address: str, users: list[str]) -> list[float]:
    """Seconds from an acknowledged choice until every answer has weights that know of it."""
    found = []
    callers = [Caller(address) for _ in range(4)]  # several connections reach both replicas
    for user in users:
        time.sleep(1.0)  # nothing is on its way
        before = callers[0].ask(user)
        version = callers[0].ask(users[0])["weights_version"]
        callers[0].take(user, before["items"][1]["item_id"], before["request_id"])
        begin = last_old = time.perf_counter()
        in_a_row = n = 0
        while in_a_row < AGREE:
            asked = time.perf_counter()
            n += 1
            answer = callers[n % len(callers)].ask(f"asks-{n}")
            in_a_row = in_a_row + 1 if answer["weights_version"] > version else 0
            if not in_a_row:
                last_old = asked
            if asked > begin + GIVE_UP_S:
                raise SystemExit("the weights do not reach the replicas")
        found.append(last_old - begin)
    return found


def main() -> None:
    """Serve, measure, write the rows."""
    loaded = release()
    users = loaded.catalogue.example_users(N_USERS)
    data_hash = loaded.release.manifest.data_hash
    settings = ServiceSettings(
        domains=[DOMAIN], port=free_port(), access="loopback", replicas=REPLICAS
    )
    with start(settings) as service:
        with Client(service.address, timeout_s=60) as client:
            _until_ready(client)
            client.order_learner(DOMAIN, "resume")
        caller = Caller(service.address)
        own_answers(caller, [f"warms-{n}" for n in range(50)])
        own = own_answers(caller, users)
        weights = weights_everywhere(service.address, [f"chooses-{n}" for n in range(N_VERSIONS)])
    common = {"name": "feedback_fresh", "domain": DOMAIN, "data_hash": data_hash}
    p95 = statistics.quantiles(own, n=20)[-1]
    write_rows(
        "feedback_fresh",
        [
            {
                "value": round(p95, 2),
                "unit": "ms",
                "n": len(own),
                "protocol": "p95 from sending a choice to the same user's next answer, which knows"
                f" of it (feedback with an fsync, then the answer), one client, HAProxy mode,"
                f" {REPLICAS} replicas; median {statistics.median(own):.2f} ms",
                **common,
            },
            {
                "value": round(max(weights), 3),
                "unit": "s",
                "n": len(weights),
                "protocol": "most from an acknowledged choice until the last answer with older"
                f" weights was asked for, {REPLICAS} replicas, {AGREE} answers in a row over four"
                f" connections; median {statistics.median(weights):.3f} s",
                **common,
            },
        ],
    )


def _until_ready(client: Client) -> None:
    """Wait for the learner, which hears of the domain once a replica has loaded its release."""
    until = time.monotonic() + GIVE_UP_S
    while True:
        try:
            client.learner(DOMAIN)
        except Exception:
            if time.monotonic() > until:
                raise
            time.sleep(0.5)
        else:
            return


if __name__ == "__main__":
    main()
