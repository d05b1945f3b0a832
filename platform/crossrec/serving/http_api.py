"""The HTTP routes as FastAPI apps, without Ray: one app a domain, one for the whole service.

Leaves to others: meaning (recommender.py, cards.py), keys, sizes and errors (gateway.py), the
short way to recommendations (straight.py), where they run (deployments.py). The paths here are
relative to where an app is mounted.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Annotated, Any, Protocol

from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import PlainTextResponse, RedirectResponse, Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException

import crossrec
from crossrec.data.pseudonyms import UserKeys
from crossrec.errors import CrossrecError, RequestError, UnknownDomainError, suggest
from crossrec.serving.arms import Arms
from crossrec.serving.auth import KeyRing
from crossrec.serving.cards import domain_card, item_card, search_cards, user_card
from crossrec.serving.drift import Drift
from crossrec.serving.explaining import Explainer
from crossrec.serving.explanation_messages import ExplainRequest, ExplainResponse
from crossrec.serving.feedback_log import FeedbackLog
from crossrec.serving.gateway import App, Door, Gateway, error_body, status_of
from crossrec.serving.item_updates import Refreshing
from crossrec.serving.learning_messages import LearnerOrder, LearnerStatus
from crossrec.serving.learning_routes import Addressed, learner_routes
from crossrec.serving.live_routes import Operator, live_routes
from crossrec.serving.messages import (
    API_PAGE,
    DomainCard,
    DomainList,
    DomainSummary,
    ErasureResponse,
    ErrorBody,
    FeedbackBatch,
    FeedbackResponse,
    Health,
    ItemCard,
    ItemSearchResponse,
    ItemsRequest,
    ItemsResponse,
    ItemUpsert,
    Name,
    Readiness,
    RecommendRequest,
    RecommendResponse,
    Text,
    UserCard,
)
from crossrec.serving.metrics import METRICS_TYPE, Metrics
from crossrec.serving.recommender import Recommender
from crossrec.serving.straight import Straight

_ERROR: dict[str, Any] = {
    "application/json": {"schema": {"$ref": "#/components/schemas/ErrorBody"}}
}
ERRORS: dict[int | str, dict[str, Any]] = {422: {"model": ErrorBody}}
ERRORS |= {
    status: {"description": HTTPStatus(status).phrase, "content": _ERROR}
    for status in (401, 403, 404, 408, 413, 429, 503)
}
"""The schema once: FastAPI makes a model field of every `model` for each route."""
SYSTEM = "/v1"


class DomainBackend(Protocol):
    """What the routes of a domain need; the recommender may be exchanged between requests."""

    @property
    def recommender(self) -> Recommender:
        """The one of the release that is served now."""

    @property
    def feedback_log(self) -> FeedbackLog:
        """Where feedback is kept."""

    async def erase(self, user_id: str) -> ErasureResponse:
        """Remove all that is kept of a user."""

    async def put_items(self, items: list[ItemUpsert]) -> ItemsResponse:
        """Keep items and make them recommendable."""

    async def learner(self, order: LearnerOrder | None) -> LearnerStatus:
        """What was learned of the objectives' weights, after an order."""


class Directory(Protocol):
    """Which domains there are."""

    async def domains(self) -> list[DomainSummary]:
        """Every domain that answers, sorted by name."""

    async def names(self) -> list[str]:
        """Of every served domain, sorted."""


class Whole(Directory, Protocol):
    """What the routes of the whole service need."""

    async def states(self) -> dict[str, str]:
        """Application → its state in words; `RUNNING` is well."""

    async def metrics(self) -> bytes:
        """What all replicas count, as a page for Prometheus."""


def domain_app(
    backend: DomainBackend,
    keys: KeyRing | None,
    title: str,
    refresh: Callable[[], Awaitable[None]] | None = None,
    metrics: Metrics | None = None,
    arms: Arms | None = None,
    door: Door | None = None,
) -> Gateway:
    """All routes of one domain, behind the gateway.

    Args:
        refresh: done before each request that the gateway lets through.
        metrics: where what happens is counted; None: nowhere that anybody reads.
        arms: the releases that answer, where there may be several; None: `backend.recommender`.
        door: of the process, where other domains answer in it too.
    """
    app = _app(title)
    metrics = metrics or Metrics()
    drift = Drift(metrics)
    inside = UserKeys().inside  # beyond this point a user may be known by a pseudonym alone

    def known(request: RecommendRequest) -> RecommendRequest:
        if request.user_id is not None:
            request.user_id = inside(request.user_id)
        return request

    def chosen(request: RecommendRequest, request_id: str) -> Recommender:
        return arms.choose(request.user_id, request_id)[0] if arms else backend.recommender

    async def answer(request: RecommendRequest, request_id: str) -> Response:
        response = await (arms or backend.recommender).recommend(known(request), request_id)
        drift.answered(chosen(request, request_id), request, response)
        return _json(response)

    @app.post("/recommendations", response_model=RecommendResponse)
    async def recommend(request: RecommendRequest, http: Request) -> Response:
        """Ranked items for any mix of user id, history, words and context."""
        return await answer(request, http.state.request_id)

    @app.post("/explanations", response_model=ExplainResponse)
    async def explanation(request: ExplainRequest) -> Response:
        """Why one item is in the answer to a request, and what would take it out."""
        request.request = known(request.request)
        recommender = chosen(request.request, request.request_id or "")
        return _json(await Explainer(recommender).explain(request))

    partly: dict[int | str, dict[str, Any]] = {422: {"model": FeedbackResponse | ErrorBody}}

    @app.post("/feedback", response_model=FeedbackResponse, responses=partly)
    async def feedback(request: FeedbackBatch) -> Response:
        """Store what users did; it is on disk when this answers.

        422 where an event was rejected; the others are stored all the same.
        """
        events, unreadable = request.sort_out()
        for event in events:
            event.user_id = inside(event.user_id)
        answer = await (arms or backend.recommender).feedback(events)
        answer.rejected = [*unreadable, *answer.rejected]
        metrics.feedback(events, answer, backend.recommender.rules.meaning)
        return _json(answer, status=422 if answer.rejected else 200)

    _add_items(app, backend)
    _add_users(app, backend, inside)
    _add_domain(app, backend)
    app.include_router(learner_routes(backend))
    routes: App = Addressed(Straight(app, "/recommendations", RecommendRequest, answer))
    if refresh is not None:
        routes = Refreshing(routes, refresh)
    return Gateway(routes, keys, name=title, metrics=metrics, door=door)


def _add_items(app: FastAPI, backend: DomainBackend) -> None:
    """Items are added, looked at and found."""

    @app.put("/items", response_model=ItemsResponse)
    async def put_items(request: ItemsRequest) -> Response:
        """Add items, or replace those with the same ids, without a training.

        They are recommended from the next request on, by every replica; until the domain is
        trained again each borrows from the items that are nearest to it in text. 422 where an
        item cannot be kept; then none is.
        """
        return _json(await backend.put_items(request.items))

    @app.get("/items/{item_id:path}", response_model=ItemCard)
    async def item(item_id: str) -> Response:
        """One item with all its columns."""
        return _json(item_card(backend.recommender.loaded, item_id))

    @app.get("/items", response_model=ItemSearchResponse)
    async def search(
        search: Annotated[str, Query(min_length=1, max_length=1000)], limit: int = 20
    ) -> Response:
        """Items whose title or text holds the words."""
        cards = search_cards(backend.recommender.loaded, search, limit)
        return _json(ItemSearchResponse(items=cards))


def _add_users(app: FastAPI, backend: DomainBackend, inside: Callable[[str], str]) -> None:
    """Users are looked at and erased; `inside` is what they are known by."""

    @app.get("/users/{user_id:path}", response_model=UserCard)
    async def user(user_id: Text, limit: Annotated[int, Query(ge=1, le=1000)] = 50) -> Response:
        """What is stored of a user, newest first."""
        recommender, known_as = backend.recommender, inside(user_id)
        events = backend.feedback_log.recent(recommender.domain.name, known_as)
        return _json(user_card(recommender.loaded, known_as, events, limit))

    @app.delete("/users/{user_id:path}", response_model=ErasureResponse)
    async def erase(user_id: Name) -> Response:
        """Erase a user: feedback, stored history, identity; says what remains in weights."""
        return _json(await backend.erase(user_id))


def _add_domain(app: FastAPI, backend: DomainBackend) -> None:
    """What the domain is, and that it answers."""

    @app.get("/card", response_model=DomainCard)
    async def card() -> Response:
        """What the domain is, what a request may hold, and how good the release is."""
        recommender = backend.recommender
        return _json(
            domain_card(recommender.loaded, recommender.rules, recommender.ranker.objectives)
        )

    @app.get("/health", response_model=Health)
    async def health() -> Response:
        """The domain answers."""
        name = backend.recommender.domain.name
        return _json(Health(version=crossrec.__version__, domains=[name]))


def directory_app(directory: Directory, keys: KeyRing | None, door: Door) -> Gateway:
    """What is left of the paths below `/v1/domains` where domains share a replica: their list, and
    404 for a domain that there is not.
    """
    app = _app("crossrec", prefix=SYSTEM)
    _add_directory(app, directory)
    return Gateway(app, keys, SYSTEM, name="crossrec", door=door)


def system_app(whole: Whole, keys: KeyRing | None, operator: Operator | None = None) -> Gateway:
    """The routes of the whole service; any other path below it is answered as unknown.

    Args:
        operator: changes what is served; None: this service cannot be changed over HTTP.
    """
    app = _app("crossrec", prefix=SYSTEM)

    @app.get(f"{SYSTEM}/health", response_model=Health)
    async def health() -> Response:
        """The service is up."""
        return _json(Health(version=crossrec.__version__, domains=await whole.names()))

    @app.get(f"{SYSTEM}/ready", response_model=Readiness)
    async def ready() -> Response:
        """Whether everything answers; 503 while something does not."""
        states = await whole.states()
        well = all(state == "RUNNING" for state in states.values())
        return _json(Readiness(ready=well, applications=states), status=200 if well else 503)

    @app.get(f"{SYSTEM}/metrics", response_class=PlainTextResponse)
    async def metrics() -> Response:
        """What all replicas count and time, for Prometheus."""
        return Response(await whole.metrics(), media_type=METRICS_TYPE)

    if operator is not None:
        app.include_router(live_routes(operator), prefix=SYSTEM)

    @app.get("/", include_in_schema=False)
    async def start() -> Response:
        return RedirectResponse(API_PAGE)

    from crossrec.serving.insight_routes import insight_routes  # replicas of domains go without

    app.include_router(insight_routes(SYSTEM, whole.states, whole.metrics, operator))
    _add_directory(app, whole)
    return Gateway(app, keys, SYSTEM, name="crossrec")


def _add_directory(app: FastAPI, directory: Directory) -> None:
    """The list of domains, and the answer to whoever asks for one that is not in it."""

    @app.get(f"{SYSTEM}/domains", response_model=DomainList)
    async def domains() -> Response:
        """Every served domain."""
        return _json(DomainList(domains=await directory.domains()))

    async def unknown_domain(domain: str) -> Response:
        served = await directory.names()
        raise UnknownDomainError(f"no domain '{domain}' is served: {suggest(domain, served)}")

    everything = ["GET", "POST", "PUT", "PATCH", "DELETE"]
    for path in ("/domains/{domain}", "/domains/{domain}/{rest:path}"):
        app.add_api_route(
            SYSTEM + path, unknown_domain, methods=everything, include_in_schema=False
        )


def _app(title: str, prefix: str = "") -> FastAPI:
    app = FastAPI(
        title=title,
        version=crossrec.__version__,
        docs_url=f"{prefix}/docs",
        openapi_url=f"{prefix}/openapi.json",
        redoc_url=None,
        responses=ERRORS,
    )
    app.add_exception_handler(RequestValidationError, _on(_invalid))
    app.add_exception_handler(HTTPException, _http)
    # Answered here and raised again, for the gateway's log.
    app.add_exception_handler(Exception, _on(lambda error: (error, None)))
    return app


def _json(message: BaseModel, status: int = 200) -> Response:
    """Serialised by Pydantic itself: FastAPI would validate the answer once more."""
    return Response(message.model_dump_json(), status, media_type="application/json")


Handler = Callable[[Request, Exception], Awaitable[Response]]


def _on(translate: Callable[[Any], tuple[Exception, int | None]]) -> Handler:
    async def handle(request: Request, error: Exception) -> Response:
        ours, status = translate(error)
        return _json(error_body(ours, request.state.request_id), status or status_of(ours))

    return handle


def _invalid(error: RequestValidationError) -> tuple[Exception, None]:
    """What FastAPI found wrong, as one sentence; never the value, which may be a megabyte."""
    reasons = [_reason(found) for found in error.errors()[:5]]
    return RequestError("this is no valid request: " + "; ".join(reasons)), None


def _reason(found: dict[str, Any]) -> str:
    """One finding in words; of broken JSON the place, counted from 1."""
    if found["type"] == "json_invalid":
        where, what = found["loc"][-1] + 1, found["ctx"]["error"]
        return f"the body is not valid JSON at character {where} ({what})"
    return f"{'.'.join(str(part) for part in found['loc'][1:]) or 'the body'}: {found['msg']}"


def _unreadable(cause: BaseException) -> str:
    """Why a body is no JSON, where it is not for its grammar."""
    if isinstance(cause, UnicodeDecodeError):
        return f"the body is not UTF-8 at byte {cause.start + 1}; expected JSON in UTF-8"
    if isinstance(cause, RecursionError):
        return "the body is nested too deeply; expected JSON of a few levels"
    return "the body holds a number with too many digits; expected JSON with plain numbers"


async def _http(request: Request, error: Exception) -> Response:
    """No such path (404), not with this method (405), or a body that could not be read."""

    def translate(found: HTTPException) -> tuple[Exception, int | None]:
        if isinstance(found.__cause__, CrossrecError):  # the gateway cut the body off
            return found.__cause__, None
        if isinstance(found.__cause__, ValueError | RecursionError):
            return RequestError(f"this is no valid request: {_unreadable(found.__cause__)}"), None
        page = request.scope.get("root_path", "") + request.app.docs_url
        text = f"{found.detail}: see the API's page at {page} for what there is"
        return RequestError(text), found.status_code

    return await _on(translate)(request, error)
