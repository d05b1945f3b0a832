"""Requests that Schemathesis makes up from the OpenAPI document of a domain: server errors.

The routes are asked without a server between: what is tried is what reads and answers. The domain
is the small one of the tests, with real parts. `tests/serving/test_fuzz.py` does it with fewer.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from crossrec.releases.store import ReleaseStore
from crossrec.serving.auth import KeyRing
from tests.benchmarks.rows import write_rows
from tests.serving.fuzzed import fuzz
from tests.serving.whole import whole_replica
from tests.small_release import make_small_domain

N_REQUESTS = 5_000
SEED = 0


def main() -> None:
    """Ask, count, write the row; what went wrong is printed."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["CROSSREC_HOME"] = folder
        store = ReleaseStore()
        make_small_domain(Path(folder) / "made" / "films").publish(store)
        ring = KeyRing()
        app = whole_replica(store).app(ring)
        outcome = fuzz(app, "/openapi.json", ring.create("fuzz", ["admin"]), N_REQUESTS, SEED)
    for fault in outcome.faults[:20]:
        print(fault)
    errors = sum(n for status, n in outcome.statuses.items() if status >= 500)
    statuses = ", ".join(f"{n:,} × {status}" for status, n in sorted(outcome.statuses.items()))
    write_rows(
        "fuzz",
        [
            {
                "name": "fuzz",
                "value": errors,
                "unit": "server errors",
                "n": outcome.n,
                "seeds": [SEED],
                "protocol": "Schemathesis, valid and invalid requests in equal parts, all routes of"
                f" a domain with an admin key; {statuses}; {len(outcome.faults)} answers that the"
                " document does not allow",
            }
        ],
    )


if __name__ == "__main__":
    main()
