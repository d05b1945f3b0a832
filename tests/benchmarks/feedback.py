"""Feedback over HTTP on SQLite: events acknowledged a second, and events lost when it is killed.

The service is a real one (Ray Serve, HAProxy, one replica of one domain). Clients are in a process
of their own, keep their connections, and send a batch again, with the same event ids, until it is
acknowledged, as an application would.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import closing, suppress
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4
from zlib import crc32

import psutil

from crossrec.config import home
from crossrec.releases.store import ReleaseStore
from crossrec.serving.launch import Service
from crossrec.serving.process_tree import tree_of
from tests.benchmarks.rows import update_rows
from tests.benchmarks.served import DOMAIN, running, trained

N_CLIENTS = 8
BATCH_EVENTS = 25
RATE_S = 10.0
WARM_UP_S = 2.0
N_KILLS = 20
BETWEEN_KILLS_S = (0.2, 1.5)
"""How long after feedback is acknowledged again the writer is killed: drawn evenly."""
RECOVERY_S = 60.0
SEED = 0
SENDING = "--send"
"""First argument of the clients' process."""
PATH = f"/v1/domains/{DOMAIN}/feedback"


class Sender(threading.Thread):
    """One client; sends batches until told to stop, each until it is acknowledged."""

    def __init__(self, address: str, item_ids: list[str], stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self._place, self._items, self._stop_asked = urlsplit(address), item_ids, stop
        self._name = uuid4().hex[:12]
        self._connection: http.client.HTTPConnection | None = None
        self.acknowledged: list[str] = []
        self.n_failed = 0
        self.refused = ""

    def run(self) -> None:
        number = 0
        while not self._stop_asked.is_set():
            ids = [f"{self._name}-{number}-{n}" for n in range(BATCH_EVENTS)]
            body = json.dumps({"events": [self._event(event_id) for event_id in ids]})
            number += 1
            while not self._sent(body):
                self.n_failed += 1
                if self._stop_asked.wait(0.1):
                    return
            self.acknowledged += ids

    def _event(self, event_id: str) -> dict[str, str]:
        """Somebody clicks on something; thousands of people."""
        drawn = crc32(event_id.encode())
        item = self._items[drawn % len(self._items)]
        user = f"visitor-{drawn // 7 % 5000}"
        return {"event_id": event_id, "user_id": user, "item_id": item, "event": "click"}

    def _sent(self, body: str) -> bool:
        try:
            if self._connection is None:
                self._connection = http.client.HTTPConnection(
                    self._place.hostname or "", self._place.port, timeout=10
                )
            headers = {"Content-Type": "application/json"}
            self._connection.request("POST", PATH, body, headers)
            answer = self._connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException):
            if self._connection is not None:
                self._connection.close()
            self._connection = None
            return False
        if answer.status == 422:
            self.refused = content.decode()
            self._stop_asked.set()
        return answer.status == 200


def send(address: str) -> None:
    """The clients' process: item ids come in, each second a line with what was acknowledged so far
    goes out; at the end of the input all event ids do.
    """
    items = json.loads(sys.stdin.readline())
    stop = threading.Event()
    senders = [Sender(address, items, stop) for _ in range(N_CLIENTS)]
    for sender in senders:
        sender.start()
    threading.Thread(target=_say, args=(senders, stop), daemon=True).start()
    sys.stdin.read()
    stop.set()
    for sender in senders:
        sender.join()
    if refused := [sender.refused for sender in senders if sender.refused]:
        raise SystemExit(f"feedback was refused: {refused[0][:300]}")
    ids = [event_id for sender in senders for event_id in sender.acknowledged]
    print(json.dumps({"ids": ids, "failed": sum(sender.n_failed for sender in senders)}))


def _say(senders: list[Sender], stop: threading.Event) -> None:
    while not stop.wait(0.05):
        n_events = sum(len(sender.acknowledged) for sender in senders)
        print(json.dumps({"at": time.monotonic(), "n": n_events}), flush=True)


class Clients:
    """The clients' process, as the benchmark sees it."""

    def __init__(self, address: str, item_ids: list[str]) -> None:
        command = [sys.executable, "-m", "tests.benchmarks.feedback", SENDING, address]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(item_ids) + "\n")
        self._process.stdin.flush()

    def progress(self) -> tuple[float, int]:
        """A moment, and the events acknowledged until then."""
        assert self._process.stdout is not None
        line = json.loads(self._process.stdout.readline())
        return line["at"], line["n"]

    def stop(self) -> dict[str, Any]:
        """All acknowledged ids, and how often a batch had to be sent again."""
        out, _ = self._process.communicate()
        found: dict[str, Any] = json.loads(out.splitlines()[-1])
        return found


def rate(clients: Clients) -> float:
    """Events acknowledged a second, after warming up."""
    first, _ = clients.progress()
    begin = clients.progress()
    while begin[0] < first + WARM_UP_S:
        begin = clients.progress()
    end = begin
    while end[0] < begin[0] + RATE_S:
        end = clients.progress()
    return (end[1] - begin[1]) / (end[0] - begin[0])


def kill_writer(service_pid: int) -> None:
    """`kill -9` of the replica that writes the log."""
    replicas = [one for one in tree_of(service_pid) if _title(one).startswith(REPLICA)]
    assert replicas, "the domain has no replica to kill"
    for replica in replicas:
        replica.kill()


REPLICA = "ray::ServeReplica:domains:"


def _title(process: psutil.Process) -> str:
    with suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""


def kill_at_random(clients: Clients, service_pid: int, rng: random.Random) -> list[float]:
    """Kill the writer again and again; seconds from each kill to the next acknowledged event."""
    recoveries = []
    for _ in range(N_KILLS):
        moment, _ = clients.progress()
        until = moment + rng.uniform(*BETWEEN_KILLS_S)
        while moment < until:
            moment, _ = clients.progress()
        kill_writer(service_pid)
        killed = time.monotonic()
        moment, n_then = clients.progress()
        while moment < killed + 0.2:  # what was on its way
            moment, n_then = clients.progress()
        n_events = n_then
        while n_events == n_then:
            moment, n_events = clients.progress()
            assert moment < killed + RECOVERY_S, "nothing is acknowledged any more"
        recoveries.append(moment - killed)
    return recoveries


def stored_ids() -> list[str]:
    """Every event id of the log, as often as it is stored."""
    with closing(sqlite3.connect(home() / "feedback.db")) as database:
        rows = database.execute("SELECT event_id FROM feedback WHERE domain = ?", (DOMAIN,))
        return [row[0] for row in rows]


def _how() -> str:
    return (
        f"{N_CLIENTS} keep-alive clients in a second process, batches of {BATCH_EVENTS}, HAProxy"
        " mode, one replica, SQLite with an fsync a commit"
    )


def rate_row(service: Service, items: list[str]) -> dict[str, Any]:
    """How many events a second are acknowledged."""
    clients = Clients(service.address, items)
    try:
        a_second = rate(clients)
    finally:
        sent = clients.stop()
    return {
        "name": "feedback_rate",
        "value": round(a_second),
        "unit": "events/s",
        "n": len(sent["ids"]),
        "protocol": f"{_how()}, {RATE_S:g} s after {WARM_UP_S:g} s of warming up",
    }


def lost_row(service: Service, items: list[str]) -> dict[str, Any]:
    """What of the acknowledged events is not there, or there twice, after all kills."""
    clients = Clients(service.address, items)
    try:
        recoveries = kill_at_random(clients, service.pid, random.Random(SEED))
    finally:
        sent = clients.stop()
    stored = Counter(stored_ids())
    lost = sum(event_id not in stored for event_id in sent["ids"])
    doubled = sum(stored[event_id] > 1 for event_id in sent["ids"])
    return {
        "name": "feedback_lost",
        "value": lost + doubled,
        "unit": "events",
        "n": len(sent["ids"]),
        "seeds": [SEED],
        "protocol": f"{_how()}; kill -9 of the replica at {N_KILLS} random moments, batches"
        f" sent again until acknowledged ({sent['failed']} were); {lost} lost, {doubled}"
        f" doubled; {sum(recoveries) / N_KILLS:.1f} s on average until events were"
        f" acknowledged again, {max(recoveries):.1f} s at most",
    }


PARTS = {"rate": rate_row, "lost": lost_row}


def main() -> None:
    """Serve, measure, write each row when it is there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--part", choices=list(PARTS), help="only this one; all where none is named"
    )
    part = parser.parse_args().part
    loaded = trained(ReleaseStore())
    items = loaded.model.vocabulary.item_ids[:500]
    common = {"domain": DOMAIN, "data_hash": loaded.release.manifest.data_hash}
    loaded.close()
    with running([DOMAIN], n_noops=0) as service:
        for name in [part] if part else list(PARTS):
            update_rows("feedback", [PARTS[name](service, items) | common])


if __name__ == "__main__":
    if sys.argv[1:2] == [SENDING]:
        send(sys.argv[2])
    else:
        main()
