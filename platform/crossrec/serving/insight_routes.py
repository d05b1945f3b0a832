"""Read-only HTTP routes that look into releases, data, searches and transfers.

They stand beside the routes of the whole service, where one process reads for all domains. Leaves
to others: reading (insight.py, comparing.py, pictures.py), keys and errors (gateway.py).
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import Response
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from crossrec.config import home
from crossrec.data.pseudonyms import UserKeys
from crossrec.errors import ReleaseError, RequestError
from crossrec.releases.store import ReleaseStore
from crossrec.serving import insight
from crossrec.serving.comparing import compare, compare_item
from crossrec.serving.erasure import Erasures
from crossrec.serving.feedback_log import FeedbackLog
from crossrec.serving.insight_messages import (
    ArmList,
    Comparison,
    DataProfile,
    Experiment,
    ExperimentList,
    ItemComparison,
    ItemMap,
    LiveState,
    ReleaseList,
    ReleaseReport,
    TransferList,
    UserList,
)
from crossrec.serving.live_routes import Operator
from crossrec.serving.pictures import Pictures
from crossrec.serving.running_arms import arms_of
from crossrec.serving.user_search import find_users

Version = Annotated[str, Query(max_length=100)]
OF_DOMAIN = "/insight/{domain}"


class _Parts:
    """Made when first asked for: a service whose pages nobody opens pays nothing."""

    @cached_property
    def pictures(self) -> Pictures:
        return Pictures()

    @cached_property
    def log(self) -> FeedbackLog:
        return FeedbackLog()


def insight_routes(
    prefix: str,
    states: Callable[[], Awaitable[dict[str, str]]],
    figures: Callable[[], Awaitable[bytes]],
    operator: Operator | None = None,
) -> APIRouter:
    """The routes below `prefix`; plain functions run beside the event loop.

    Args:
        states: of the service's applications.
        figures: of all replicas, in Prometheus' format.
        operator: knows the arms of experiments; None: there are none.
    """
    router, parts = APIRouter(prefix=prefix), _Parts()

    @router.get(f"{OF_DOMAIN}/releases", response_model=ReleaseList)
    def releases(domain: str) -> Response:
        """Releases of a domain, newest first."""
        return _json(insight.releases(domain))

    @router.get(f"{OF_DOMAIN}/releases/{{version}}/report", response_model=ReleaseReport)
    def report(domain: str, version: str) -> Response:
        """What the evaluation of a release found: peers, groups, exposure, calibration."""
        return _json(insight.report(domain, version))

    @router.get(f"{OF_DOMAIN}/comparison", response_model=Comparison)
    def comparison(domain: str, a: Version, b: Version) -> Response:
        """Two releases on the cases that both were judged on."""
        return _json(_evaluated(compare, domain, a, b))

    @router.get(f"{OF_DOMAIN}/comparison/items/{{item_id:path}}", response_model=ItemComparison)
    def item(domain: str, item_id: str, a: Version, b: Version) -> Response:
        """One item in two releases."""
        return _json(_evaluated(compare_item, domain, a, b, item_id))

    @router.get(f"{OF_DOMAIN}/users", response_model=UserList)
    def users(
        domain: str,
        search: Annotated[str, Query(min_length=1, max_length=200)],
        limit: Annotated[int, Query(ge=1, le=100)] = 20,
    ) -> Response:
        """Users by a part of their id, or by items that they had."""
        store = ReleaseStore()
        hides = Erasures(domain, parts.log, store).hides
        return _json(find_users(domain, search, limit, UserKeys().inside, hides))

    @router.get(f"{OF_DOMAIN}/arms", response_model=ArmList)
    async def arms(domain: str) -> Response:
        """Arms of the experiment that runs, or ran last, with what came of them."""
        return _json(ArmList() if operator is None else await arms_of(operator, domain))

    @router.get(f"{OF_DOMAIN}/map", response_model=ItemMap)
    def item_map(domain: str, release: Version = "current") -> Response:
        """Items on a plane; made at the first question, which is answered with `being_made`."""
        version = insight.version_of(domain, release)
        found = parts.pictures.get("map", domain, version)
        return _json(ItemMap(state="ready", **found) if found else ItemMap(state="being_made"))

    @router.get(f"{OF_DOMAIN}/data", response_model=DataProfile)
    def data(domain: str) -> Response:
        """What was imported; made at the first question, which is answered with `being_made`."""
        found = parts.pictures.get("data", domain, _data_edition(domain))
        return _json(
            DataProfile(state="ready", **found) if found else DataProfile(state="being_made")
        )

    @router.get("/experiments", response_model=ExperimentList)
    def experiments() -> Response:
        """Searches for settings, newest first."""
        return _json(insight.experiments())

    @router.get("/experiments/{run}/{domain}", response_model=Experiment)
    def experiment(run: str, domain: str) -> Response:
        """One search with its trials."""
        return _json(insight.experiment(run, domain))

    @router.get("/transfers", response_model=TransferList)
    def transfers() -> Response:
        """What domains gained from others, newest first."""
        return _json(insight.transfers())

    @router.get("/live", response_model=LiveState)
    async def live() -> Response:
        """Applications, requests and their times, feedback, drift, alerts."""
        now, page = await states(), await figures()
        return _json(await run_in_threadpool(lambda: insight.live(now, page, parts.log)))

    return router


def _evaluated(ask: Callable[..., BaseModel], domain: str, a: str, b: str, *more: str) -> BaseModel:
    """What `ask` says of two releases; one that was never evaluated is the asker's to change."""
    first, second = (insight.version_of(domain, version) for version in (a, b))
    try:
        return ask(domain, first, second, *more)
    except ReleaseError as err:
        raise RequestError(str(err)) from err


def _data_edition(domain: str) -> str:
    """The start of the data's content hash, read without the libraries of a data set.

    Raises:
        UnknownDomainError, RequestError: no such domain, or its data are not on this machine.
    """
    ReleaseStore().show(domain)  # a name that is none ends here
    card = home() / "data" / domain / "dataset.json"
    if not card.is_file():
        raise RequestError(
            f"the data of '{domain}' are not here; run: crossrec data import {domain}"
        )
    return _content_hash(card)[:16]


def _content_hash(card: Path) -> str:
    found: dict[str, Any] = json.loads(card.read_text(encoding="utf-8"))
    return str(found["content_hash"])


def _json(message: BaseModel) -> Response:
    return Response(message.model_dump_json(), media_type="application/json")
