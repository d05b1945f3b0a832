"""Synchronous client of the HTTP API, typed with its messages; for apps, notebooks, scripts.

Leaves to others: what the messages mean (recommender.py), the server's side (deployments.py).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, NoReturn, TypeVar, Unpack
from urllib.parse import quote

import httpx
from pydantic import BaseModel, ValidationError

from crossrec.config import DEFAULT_URL
from crossrec.errors import AuthError, RequestError, ServiceError, error_class
from crossrec.serving.explanation_messages import ExplainRequest, ExplainResponse
from crossrec.serving.learning_messages import Action, LearnerOrder, LearnerStatus
from crossrec.serving.live_client import LiveClient
from crossrec.serving.messages import (
    DomainCard,
    DomainList,
    DomainSummary,
    ErasureResponse,
    ErrorBody,
    FeedbackEvent,
    FeedbackRequest,
    FeedbackResponse,
    Health,
    ItemCard,
    ItemSearchResponse,
    ItemsRequest,
    ItemsResponse,
    ItemUpsert,
    Readiness,
    RecommendRequest,
    RecommendResponse,
    RequestFields,
    UserCard,
)

DOMAIN_PATH = "/v1/domains/"
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 1.0
"""Between two looks at whether the service is well again."""

Answer = TypeVar("Answer", bound=BaseModel)


class Client:
    """Talks to one crossrec service; use it as a context manager or call `close()`.

    Every method raises:
        AuthError: no key, a wrong one, or one without the scope.
        UnknownDomainError, UnknownItemError: the service knows no such name.
        RequestError: the service refused what was asked for.
        ServiceError: no answer, too busy (status 429), or a fault of the service.
    """

    def __init__(
        self,
        base_url: str = DEFAULT_URL,
        api_key: str | None = None,
        timeout_s: float = 30.0,
        patience_s: float = 30.0,
    ) -> None:
        """A client of the service at `base_url`.

        Args:
            base_url: its address.
            api_key: a key with the scopes that are needed; None: the service asks for none.
            timeout_s: how long one request may take.
            patience_s: where a process of the service died under a request, how long to wait
                until another one answers; the request is then sent once more. 0: it never is.
                Nothing is done twice: feedback has ids, and orders to a learner or to the
                service are sent once only.
        """
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self.base_url = base_url.rstrip("/")
        self._http = httpx.Client(base_url=self.base_url, headers=headers, timeout=timeout_s)
        self._patience_s = patience_s
        self._met = False
        """Whether the service has answered: one that never did is not waited for."""

    @property
    def operations(self) -> LiveClient:
        """What changes the service while it runs: deploy, experiments, shadows."""
        return LiveClient(self._send)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *ended: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def health(self) -> Health:
        """That the service is up, its version and the names of its domains; needs no key."""
        return self._get("/v1/health", Health)

    def ready(self) -> Readiness:
        """Whether every domain and the encoder answer; needs no key."""
        return self._get("/v1/ready", Readiness)

    def domains(self) -> list[DomainSummary]:
        """Every served domain, sorted by name."""
        return self._get("/v1/domains", DomainList).domains

    def card(self, domain: str) -> DomainCard:
        """What a domain serves: release, context fields, filters, metrics, example users."""
        return self._get(_path(domain, "card"), DomainCard)

    def recommend(
        self,
        domain: str,
        request: RecommendRequest | None = None,
        **fields: Unpack[RequestFields],
    ) -> RecommendResponse:
        """Ranked items for a request, or for its fields: `recommend("movies", user_id="7", k=5)`.

        Raises:
            RequestError: also for a field or value that no request can have.
        """
        if request is None:
            request = _build(RecommendRequest, fields)
        elif fields:
            raise RequestError("got a request and fields; expected one of them")
        return self._post(_path(domain, "recommendations"), request, RecommendResponse)

    def explain(
        self, domain: str, asked: ExplainRequest | None = None, **fields: Any
    ) -> ExplainResponse:
        """Why an item is in the answer to a request: `explain("movies", item_id="50",
        request={"user_id": "7"}, against="181", language="zh")`; where an experiment runs or
        weights are learned, also `request_id=answer.request_id`.

        Raises:
            RequestError: also for an item that is not in the answer.
        """
        if asked is None:
            asked = _build(ExplainRequest, fields)
        elif fields:
            raise RequestError("got a request and fields; expected one of them")
        return self._post(_path(domain, "explanations"), asked, ExplainResponse)

    def feedback(self, domain: str, events: Iterable[FeedbackEvent]) -> FeedbackResponse:
        """Store what users did; accepted events are on disk when this returns.

        An event that cannot be stored (unknown item) is named in `rejected`; the rest is kept.
        """
        request = _build(FeedbackRequest, {"events": list(events)})
        path = _path(domain, "feedback")
        return self._post(path, request, FeedbackResponse, partly=FeedbackResponse)

    def item(self, domain: str, item_id: str) -> ItemCard:
        """One item with all its columns."""
        return self._get(_path(domain, "items", item_id), ItemCard)

    def search(self, domain: str, text: str, limit: int = 20) -> list[ItemCard]:
        """Items whose title or text holds the words of `text`, best first."""
        params = {"search": text, "limit": limit}
        return self._get(_path(domain, "items"), ItemSearchResponse, params).items

    def put_items(self, domain: str, items: Iterable[ItemUpsert]) -> ItemsResponse:
        """Add items, or replace those with the same ids; recommendable when this returns.

        Raises:
            RequestError: an item cannot be kept; none was.
        """
        request = _build(ItemsRequest, {"items": list(items)})
        body = request.model_dump_json(exclude_defaults=True)
        headers = {"Content-Type": "application/json"}
        path = _path(domain, "items")
        return self._send("PUT", path, ItemsResponse, content=body, headers=headers)

    def user(self, domain: str, user_id: str, limit: int = 50) -> UserCard:
        """The stored history of a user, newest first; an unknown user has `known=False`."""
        return self._get(_path(domain, "users", user_id), UserCard, {"limit": limit})

    def erase_user(self, domain: str, user_id: str) -> ErasureResponse:
        """Erase a user; needs the scope `admin`. Says what remains in trained weights."""
        return self._send("DELETE", _path(domain, "users", user_id), ErasureResponse)

    def learner(self, domain: str) -> LearnerStatus:
        """What was learned online of the objectives' weights."""
        return self._get(_path(domain, "learner"), LearnerStatus)

    def order_learner(
        self,
        domain: str,
        action: Action,
        version: int | None = None,
        share: float | None = None,
    ) -> LearnerStatus:
        """Order a learner, see `LearnerOrder`; needs the scope `admin`.

        Raises:
            RequestError: no such version, or more exploring than the domain's YAML declares.
        """
        order = _build(LearnerOrder, {"action": action, "version": version, "share": share})
        return self._post(_path(domain, "learner"), order, LearnerStatus)

    def _get(self, path: str, answer: type[Answer], params: dict[str, Any] | None = None) -> Answer:
        return self._send("GET", path, answer, params=params)

    def _post(
        self,
        path: str,
        message: BaseModel,
        answer: type[Answer],
        partly: type[Answer] | None = None,
    ) -> Answer:
        body = message.model_dump_json(exclude_defaults=True)
        headers = {"Content-Type": "application/json"}
        return self._send("POST", path, answer, partly, content=body, headers=headers)

    def _send(
        self,
        method: str,
        path: str,
        answer: type[Answer],
        partly: type[Answer] | None = None,
        **options: Any,
    ) -> Answer:
        """Ask; `partly` is what a 422 may hold instead of an error: a batch stored in part."""
        try:
            response = self._ask(method, path, **options)
        except httpx.TimeoutException as err:
            raise ServiceError(
                f"{self.base_url} did not answer within {self._http.timeout.read} s"
            ) from err
        except httpx.ConnectError as err:
            raise ServiceError(
                f"no crossrec service answers at {self.base_url};"
                " start one with: crossrec serve DOMAIN --open-on-loopback"
            ) from err
        except httpx.TransportError as err:
            raise ServiceError(
                f"{self.base_url} ended the connection before it answered, so what was asked may"
                " be done or not; look with: crossrec status, then ask again"
            ) from err
        if response.status_code == 422 and partly is not None:
            with suppress(ValidationError):
                return partly.model_validate_json(response.content)
        if response.is_error:
            _raise(response)
        try:
            return answer.model_validate_json(response.content)
        except ValidationError as err:
            raise ServiceError(
                f"{self.base_url}{path} answered something else than expected;"
                " is it a crossrec service of this version?",
                response.status_code,
            ) from err

    def _ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        """The answer; asked for once more where whoever was to give it died."""
        if not _may_be_repeated(method, path):
            return self._ask_once(method, path, **options)
        again = self._met and self._patience_s > 0
        try:
            response = self._http.request(method, path, **options)
        except httpx.TimeoutException:
            raise
        except httpx.TransportError:
            if not again:
                raise
        else:
            cut_off = _cut_off(response)
            self._met = self._met or not cut_off
            if not (cut_off and again):
                return response
        self._wait_for(path)
        return self._http.request(method, path, **options)

    def _ask_once(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Over a connection of its own: a kept one may be closed under it, as proxies do whenever
        their routes change.
        """
        headers, timeout = self._http.headers, self._http.timeout
        with httpx.Client(base_url=self.base_url, headers=headers, timeout=timeout) as http:
            response = http.request(method, path, **options)
        self._met = True
        return response

    def _wait_for(self, path: str) -> None:
        """Until whoever answers at `path` is well, or patience ends; ever longer between."""
        until, pause_s = time.monotonic() + self._patience_s, FIRST_PAUSE_S
        health = "/".join(path.split("/")[:4]) if path.startswith(DOMAIN_PATH) else "/v1"
        while time.monotonic() < until:
            with suppress(httpx.HTTPError):
                if self._http.get(f"{health}/health", timeout=LONGEST_PAUSE_S).is_success:
                    return
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)


def _may_be_repeated(method: str, path: str) -> bool:
    """Whether to do it twice is to do it once: not where it says `previous` or `rollback`.

    >>> _may_be_repeated("POST", "/v1/domains/films/feedback")
    True
    >>> _may_be_repeated("POST", "/v1/domains/films/learner")
    False
    """
    return method == "GET" or not (path.startswith("/v1/admin/") or path.endswith("/learner"))


def _cut_off(response: httpx.Response) -> bool:
    """Whether a proxy answered in the place of a process that died: not in our words."""
    if response.status_code not in (500, 502, 503, 504):
        return False
    try:
        ErrorBody.model_validate_json(response.content)
    except ValidationError:
        return True
    return False


def _path(domain: str, *parts: str) -> str:
    return DOMAIN_PATH + "/".join(quote(part, safe="") for part in (domain, *parts))


def _build(message: type[Answer], fields: Mapping[str, Any]) -> Answer:
    try:
        return message.model_validate(fields)
    except ValidationError as err:
        lines = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in err.errors())
        raise RequestError(f"this is no valid request: {lines}") from err


def _raise(response: httpx.Response) -> NoReturn:
    """Raise the error that the body names, in the class the service raised."""
    try:
        body = ErrorBody.model_validate_json(response.content)
    except ValidationError:
        text = f"the service answered {response.status_code} without a reason"
        if response.status_code == 429:
            text = "the service has too much to do; try again in a second"
        body = ErrorBody(error=text)
    kind = error_class(body.kind, ServiceError)
    if kind is AuthError or response.status_code in (401, 403):
        raise AuthError(body.error, response.status_code)
    if kind is ServiceError:
        raise ServiceError(body.error, response.status_code)
    raise kind(body.error)
