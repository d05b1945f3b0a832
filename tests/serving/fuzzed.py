"""Requests that Schemathesis makes up from the OpenAPI documents, sent to routes or to a service.

Leaves to others: how many, and what the figure is (test_fuzz.py, tests/benchmarks/fuzz.py).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
HIDDEN = re.compile(r'Traceback \(most|File \\?"[^"]+", line \d|site.packages/\w')
"""What no answer may hold. Hypothesis makes up texts of the constants that it finds, and answers
say some of them again; this one does not match itself.
"""


@dataclass
class Outcome:
    """What came of the requests."""

    statuses: Counter[int] = field(default_factory=Counter)
    routes: Counter[str] = field(default_factory=Counter)
    """Path of the document → requests."""
    faults: list[str] = field(default_factory=list)
    """Server errors, answers that the document does not know, and stack traces."""

    @property
    def n(self) -> int:
        return sum(self.statuses.values())


def fuzz(
    app: Any,
    document: str,
    key: str,
    n_requests: int,
    number: int = 0,
    names: Mapping[str, str] = MappingProxyType({}),
) -> Outcome:
    """Send made-up requests, valid and invalid, to every route in turn; none is shrunk or retried.

    Args:
        app: ASGI app, or the address of a service.
        document: path of its OpenAPI document.
        key: API key that may do everything.
        n_requests: how many, about the same for each route.
        number: seed.
        names: parameters of paths that every other request has as given here, for of those that
            are made up nothing is there.
    """
    config = schemathesis.Config.from_dict({})
    if isinstance(app, str):
        schema = schemathesis.openapi.from_url(app + document, config=config)
    else:
        schema = schemathesis.openapi.from_asgi(document, app, config=config)
    operations = [result.ok() for result in schema.get_all_operations()]
    outcome = Outcome()
    modes = list(schemathesis.GenerationMode)
    while outcome.n < n_requests:  # routes with nothing to get wrong leave more to the others
        share = -(-(n_requests - outcome.n) // (len(operations) * len(modes)))
        for operation in operations:
            for mode in modes:
                _send(operation, mode, key, share, number, names, outcome)
        number += 1_000_003
    return outcome


def _send(
    operation: Any,
    mode: Any,
    key: str,
    n_requests: int,
    number: int,
    names: Mapping[str, str],
    outcome: Outcome,
) -> None:
    @seed(number)
    @settings(
        max_examples=n_requests,
        phases=[Phase.generate],
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def one(case: Any) -> None:
        if outcome.n % 2:
            case.path_parameters |= {n: v for n, v in names.items() if n in case.path_parameters}
        response = case.call(headers={"Authorization": f"Bearer {key}"})
        outcome.statuses[response.status_code] += 1
        outcome.routes[operation.path] += 1
        where = f"{operation.method.upper()} {operation.path} {response.status_code}"
        if HIDDEN.search(response.text):
            outcome.faults.append(f"{where}: an answer from the inside: {response.text[:1000]}")
        try:
            case.validate_response(response, checks=CHECKS)
        except Exception as err:
            outcome.faults.append(f"{where}: {str(err)[:1000]}")

    with suppress(Unsatisfiable):  # a route without anything to get wrong
        one()
