"""Requests that Schemathesis makes up from the OpenAPI documents: server errors.

Most are asked of a domain's routes without a server between: what is tried is what reads and
answers. Fewer go to the routes of the whole service, and some hundred through the service as users
run it, HAProxy and Serve with an encoder, whose domain is deployed and undeployed meanwhile. The
domain is the small one of the tests, with real parts. `tests/serving/test_fuzz.py` does it with
fewer, and without the service.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from crossrec.models.encoder import TextEncoder
from crossrec.releases.store import ReleaseStore
from crossrec.serving.auth import KeyRing
from crossrec.serving.http_api import system_app
from crossrec.serving.launch import serve_domains
from tests.benchmarks.rows import write_rows
from tests.models.tiny import make_tiny_encoder
from tests.ports import free_port
from tests.serving.fuzzed import Outcome, fuzz
from tests.serving.operated import Served, Unprepared, over_http
from tests.serving.test_http_api import Directory
from tests.serving.whole import whole_replica
from tests.small_release import make_small_domain

N_REQUESTS = 5_000
N_OF_WHOLE = 600
N_SERVED = 300
"""To the domain, and as many to the whole service."""
SEED = 0
NAMES = {"domain": "films"}


def main() -> None:
    """Ask, count, write the rows; what went wrong is printed."""
    rows = []
    for ask in (of_domain, of_whole, of_service):
        with tempfile.TemporaryDirectory() as folder:
            os.environ["CROSSREC_HOME"] = folder
            key = KeyRing().create("fuzz", ["admin"])
            rows.append(ask(Path(folder), key))
    write_rows("fuzz", rows)


def of_domain(home: Path, key: str) -> dict[str, Any]:
    """All routes of a domain, asked in this process."""
    store = ReleaseStore()
    make_small_domain(home / "data" / "films").publish(store)
    outcome = fuzz(whole_replica(store).app(KeyRing()), "/openapi.json", key, N_REQUESTS, SEED)
    return _row(outcome, "all routes of a domain with an admin key")


def of_whole(home: Path, key: str) -> dict[str, Any]:
    """All routes of the whole service, those of operators too; Serve is told nothing."""
    store = ReleaseStore()
    films = make_small_domain(home / "data" / "films")
    served, _ = films.publish(store), films.publish(store)
    app = system_app(Directory(), KeyRing(), Unprepared(Served(served.version)))
    with over_http(app) as address:
        outcome = fuzz(address, "/v1/openapi.json", key, N_OF_WHOLE, SEED, NAMES)
    return _row(outcome, "all routes of the whole service with an admin key, without Serve")


def of_service(home: Path, key: str) -> dict[str, Any]:
    """A domain and then the whole service, through HAProxy and Serve."""
    encoder = TextEncoder.load(make_tiny_encoder(home / "tiny"), precision="fp32")
    films = make_small_domain(home / "data" / "films", "films", encoder.encode)
    films.publish(ReleaseStore(), encoder.name, encoder.fingerprint)
    with serve_domains(["films"], port=free_port()) as service:
        domain = f"{service.address}/v1/domains/films"
        outcome = fuzz(domain, "/openapi.json", key, N_SERVED, SEED)
        whole = fuzz(service.address, "/v1/openapi.json", key, N_SERVED, SEED, NAMES)
    outcome.statuses += whole.statuses
    outcome.faults += whole.faults
    return _row(outcome, "routes of a domain, then of the whole, through HAProxy and Serve")


def _row(outcome: Outcome, asked: str) -> dict[str, Any]:
    for fault in outcome.faults[:20]:
        print(fault)
    errors = sum(n for status, n in outcome.statuses.items() if status >= 500)
    statuses = ", ".join(f"{n:,} × {status}" for status, n in sorted(outcome.statuses.items()))
    return {
        "name": "fuzz",
        "value": errors,
        "unit": "server errors",
        "n": outcome.n,
        "seeds": [SEED],
        "protocol": f"Schemathesis, valid and invalid requests in equal parts, {asked}; {statuses};"
        f" {len(outcome.faults)} answers that the document does not allow",
    }


if __name__ == "__main__":
    main()
