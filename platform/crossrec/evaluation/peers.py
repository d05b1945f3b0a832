"""Published figures of other recommenders, given only for exactly the cases they were made on.

Leaves to others: the cases' fingerprint (data/split.py), showing them (report.py).
The figures lie in `peers.json` beside this file, with the protocol they follow.
"""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import Any


def published(domain: str, protocol: str, fingerprint: str) -> dict[str, dict[str, Any]]:
    """Peer → its figures on the test cases with that fingerprint; empty where there are none.

    A figure holds `recall@10`, `ndcg@10`, `mrr@10`, `ndcg@10_se`, `coverage@10`, `warm_` and
    `cold_` variants (None where there is no such case), `params`, and `converged` (False: its
    time limit cut it short, so it is a lower bound; None: not applicable).

    Args:
        domain: name of the data set.
        protocol: `leave_one_out` or `temporal`.
        fingerprint: of our test cases; figures made on others are not comparable.
    """
    cell = _table()["figures"].get(domain, {}).get(protocol)
    if cell is None or cell["fingerprint"] != fingerprint:
        return {}
    models: dict[str, dict[str, Any]] = cell["models"]
    return models


def has_figures(domain: str, protocol: str) -> bool:
    """Whether there are figures at all, be it on other cases."""
    return protocol in _table()["figures"].get(domain, {})


@cache
def _table() -> dict[str, Any]:
    text = resources.files("crossrec.evaluation").joinpath("peers.json").read_text("utf-8")
    table: dict[str, Any] = json.loads(text)
    return table
