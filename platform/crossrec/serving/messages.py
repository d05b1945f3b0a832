"""What goes over HTTP, as Pydantic models; the client and the service share them.

Leaves to others: meaning (recommender.py), transport (deployments.py, client.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, TypedDict

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SkipValidation,
    StringConstraints,
    ValidationError,
)

API_PAGE = "/v1/docs"
"""Where a service describes itself (OpenAPI), below its address."""
MAX_K = 1000
MAX_REQUEST_CHARS = 8_000
MAX_HISTORY = 1_000
MAX_FEEDBACK_EVENTS = 1_000
MAX_NAME = 500
MAX_WHERE_CHARS = 2_000
MAX_OBJECTIVES = 50
MAX_PINNED = 100
MAX_BLOCKED = 1_000
MAX_ITEMS = 1_000
MAX_TIMESTAMP = 253_402_300_799
"""Seconds since 1970 UTC at the end of the year 9999; milliseconds are beyond it."""


def _whole(text: str) -> str:
    """JSON may hold half of a surrogate pair, which no file and no database takes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("it holds half a character (a lone surrogate)") from None
    if "\0" in text:  # which PostgreSQL does not take
        raise ValueError("it holds a NUL character")
    return text


Text = Annotated[str, AfterValidator(_whole)]
RequestText = Annotated[
    str, StringConstraints(max_length=MAX_REQUEST_CHARS), AfterValidator(_whole)
]
WhereText = Annotated[str, StringConstraints(max_length=MAX_WHERE_CHARS), AfterValidator(_whole)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=MAX_NAME), AfterValidator(_whole)]
"""An identifier that is kept: of a user, an event, a kind of event."""

Timestamp = Annotated[int, Field(ge=-MAX_TIMESTAMP, le=MAX_TIMESTAMP)]
"""Seconds since 1970 UTC."""


class _Message(BaseModel):
    # Of what is wrong the log has the place, never the value, which may be anybody's.
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class HistoryItem(_Message):
    """One thing the user did, told by the caller."""

    item_id: Text
    timestamp: Timestamp | None = None
    """Seconds since 1970 UTC; None: just now, in the order given."""
    event: Text | None = None


class Pin(_Message):
    """An item that the caller puts at a position, whatever its score."""

    item_id: Text
    position: int = Field(ge=1, le=MAX_K)


class RecommendRequest(_Message):
    """Any mix of user id, history, words and context; all empty: what is popular."""

    # Defaults are made, not copied: that is 2 of the 3 µs that reading a request takes.

    user_id: Text | None = None
    history: list[HistoryItem] = Field(default_factory=list, max_length=MAX_HISTORY)
    """Added after what is stored of the user."""
    text: RequestText | None = None
    """A wish in words."""
    context: dict[str, str | float | list[float]] = Field(default_factory=dict)
    """Fields declared by the domain; see the domain card."""
    k: int = Field(10, ge=1, le=MAX_K)
    filters: dict[str, Any] = Field(default_factory=dict)
    """Item column → a value, a list of allowed values, or {"min": x, "max": y}."""
    where: WhereText = ""
    """Items to keep, as an expression over their columns: `price < 20 and "vegetarian" in
    category`; with and, or, not, in, not in, `is missing`, comparisons, brackets. Filters hold
    beside it."""
    objectives: dict[Text, float] = Field(default_factory=dict, max_length=MAX_OBJECTIVES)
    """Objective → its weight in this answer, in place of the domain's; see the domain card. A
    weight of 1 counts like typical differences in relevance, 0 takes the objective out, a
    negative one turns it around."""
    at_most: dict[Text, Annotated[int, Field(ge=1, le=MAX_K)]] = Field(
        default_factory=dict, max_length=MAX_OBJECTIVES
    )
    """Item column → how many items of the list may share a value of it."""
    pinned: list[Pin] = Field(default_factory=list, max_length=MAX_PINNED)
    """Items at fixed positions: no filter, limit, history or dislike holds against them."""
    blocked: list[Text] = Field(default_factory=list, max_length=MAX_BLOCKED)
    """Item ids that are not recommended."""
    exclude_seen: bool = True
    explain: bool = False


class RequestFields(TypedDict, total=False):
    """The fields of a `RecommendRequest`, which has their meanings and bounds, as keywords of a
    Python call: `recommend("movies", user_id="196", k=5)`. A message may be given as a dict.
    """

    user_id: str | None
    history: Sequence[HistoryItem | dict[str, Any]]
    text: str | None
    context: Mapping[str, str | float | Sequence[float]]
    k: int
    filters: Mapping[str, Any]
    where: str
    objectives: Mapping[str, float]
    at_most: Mapping[str, int]
    pinned: Sequence[Pin | dict[str, Any]]
    blocked: Sequence[str]
    exclude_seen: bool
    explain: bool


class Part(_Message):
    """One figure of an explanation; all parts of an item sum to its score."""

    kind: Literal["history", "request", "context", "popularity", "base", "objective"]
    """What the others give only together is shared among them; a disliked item is history;
    base: the score of the item for somebody of whom nothing is known, less popularity;
    objective: what an objective beside relevance gave."""
    name: str
    """Item id, word, context field, `earlier` for a group of older history items, or the kind."""
    label: str
    """What to show: title of the item, the word, `weather = rain`."""
    value: float


class Explanation(_Message):
    """Why an item is where it is: figures that add up, and a sentence made from them."""

    score: float
    parts: list[Part]
    sentence: str


class Recommendation(_Message):
    """One ranked item."""

    rank: int
    item_id: str
    title: str
    category: list[str] = []
    score: float
    """What the list is ranked by; of a pinned item what it would be ranked by."""
    objectives: dict[str, float] = {}
    """What each weighted objective gave: they sum to the score."""
    measures: dict[str, float] = {}
    """What weighted objectives measure of the item, in their own units (see the domain card),
    where it is known: a price, a distance in km, an age in days."""
    pinned: bool = False
    signals: dict[str, float] = {}
    """Those that the release has, of sequence, collaborative, neighbours, text, request and
    popularity, and newness for items without interactions: they sum to relevance, which is the
    score where nothing else has a weight."""
    item: dict[str, Any] = {}
    """Further columns of the catalogue."""
    explanation: Explanation | None = None


class RecommendResponse(_Message):
    """The answer, and what it rests on."""

    domain: str
    release: str
    user_known: bool
    """False: nothing that this user liked is stored; the answer rests on `based_on`."""
    based_on: list[Literal["history", "request", "context", "popularity"]]
    ignored: list[str] = []
    """What was not used, one sentence each (an unknown item of the history, …)."""
    weights: dict[str, float] = {}
    """Objective → the weight it had in this answer."""
    weights_version: int | None = None
    """Of the learner whose weights these are; None: they were not learned."""
    search: Literal["exact", "approximate"] = "exact"
    """exact: all items that filters leave were scored; approximate: those that an index names."""
    items: list[Recommendation]
    request_id: str
    experiment: str | None = None
    """Where one runs: its name, and the arm that answered; a user stays in an arm."""
    arm: str | None = None


class FeedbackEvent(_Message):
    """What a user did with an answer."""

    event_id: Name
    """Sending the same id again changes nothing."""
    user_id: Name
    item_id: Text
    event: Name
    """Like the domain's own events, or `like`, `dislike`, `click`, `impression`; where ratings
    are predicted, `rating` with the rating as `value`."""
    timestamp: Timestamp | None = None
    """Seconds since 1970 UTC; None: now."""
    value: float | None = None
    request_id: Text | None = None


class FeedbackRequest(_Message):
    """A batch; each event stands for itself."""

    events: list[FeedbackEvent] = Field(min_length=1, max_length=MAX_FEEDBACK_EVENTS)


class RejectedEvent(_Message):
    """An event that was not stored, and why."""

    event_id: str
    """As it was sent; empty where that was no text."""
    reason: str


class FeedbackBatch(_Message):
    """A batch as the service takes it: an event that is none is rejected, the others are kept."""

    events: list[SkipValidation[FeedbackEvent]] = Field(
        min_length=1, max_length=MAX_FEEDBACK_EVENTS
    )

    def sort_out(self) -> tuple[list[FeedbackEvent], list[RejectedEvent]]:
        """What is an event, and what is none, each with its reason."""
        read: list[FeedbackEvent] = []
        rejected: list[RejectedEvent] = []
        for number, sent in enumerate(self.events, start=1):
            try:
                read.append(FeedbackEvent.model_validate(sent))
            except ValidationError as err:
                rejected.append(_rejected(sent, number, err))
        return read, rejected


def _rejected(sent: Any, number: int, error: ValidationError) -> RejectedEvent:
    """Never with the value, which may be a megabyte."""
    given = sent.get("event_id") if isinstance(sent, dict) else None
    event_id = given[:MAX_NAME] if isinstance(given, str) else ""
    reasons = []
    for found in error.errors(include_input=False)[:5]:
        field = ".".join(str(part) for part in found["loc"])
        hint = "; expected seconds since 1970 UTC" if field == "timestamp" else ""
        reasons.append(f"{field + ': ' if field else ''}{found['msg']}{hint}"[:MAX_NAME])
    text = f"event {number} of the request is no valid event: {'; '.join(reasons)}"
    return RejectedEvent(event_id=event_id.encode(errors="replace").decode(), reason=text)


class FeedbackResponse(_Message):
    """Accepted events are on disk when this is sent."""

    accepted: int
    duplicates: int
    rejected: list[RejectedEvent] = []
    """With any of these the status is 422; the others are stored all the same."""


class ItemCard(_Message):
    """One item of the catalogue."""

    item_id: str
    title: str
    text: str
    category: list[str] = []
    columns: dict[str, Any] = {}


class ItemSearchResponse(_Message):
    """Items whose title or text holds the words, best first."""

    items: list[ItemCard]


class ItemUpsert(_Message):
    """An item as its owner describes it; it replaces one that has the same id, as a whole."""

    item_id: Name
    title: Name
    text: RequestText | None = None
    """What it is like, in words; None: its title and categories."""
    category: list[Name] = Field(default_factory=list, max_length=100)
    columns: dict[Text, Any] = Field(default_factory=dict)
    """Further columns that the domain has (see the domain card): number, text or list of text."""


class ItemsRequest(_Message):
    """A batch of items; all are kept, or none where one cannot be."""

    items: list[ItemUpsert] = Field(min_length=1, max_length=MAX_ITEMS)


class ItemsResponse(_Message):
    """Every item of the batch can be recommended from the next request on, by every replica."""

    added: int
    updated: int
    n_items: int
    """Of the domain now."""


class ContextCard(_Message):
    """A context field that a request may give."""

    name: str
    kind: str
    values: list[str] = []
    """Known values of a category field."""
    period: float | None = None
    restricts: str | None = None
    """Item column: where the field is given, only items with that value are recommended."""
    derive: Literal["hour", "weekday", "month", "last_item"] | None = None
    """Whence the service takes it where a request does not give it: hour, weekday or month of its
    clock (UTC), or what the user's last item says. None: it is then not known."""
    description: str = ""


class ObjectiveCard(_Message):
    """An objective that a request may weigh."""

    name: str
    unit: str = ""
    """Of what it measures."""
    column: str | None = None
    higher_is_better: bool = True
    weight: float = 0.0
    """Where a request says nothing."""


class DomainCard(_Message):
    """What a domain is and what it serves."""

    name: str
    title: str
    description: str
    language: str
    task: str
    simulated: bool
    release: str
    encoder: str
    n_items: int
    n_users: int
    time_kind: Literal["unix_seconds", "order_index_per_user", "none"] = "unix_seconds"
    """What `timestamp` is in the histories of training: a clock's time, a place in the order of one
    user's steps, or nothing. Feedback has a clock's time in every domain."""
    context: list[ContextCard]
    filter_columns: dict[str, str]
    """Item column → text, number or list: for filters, `where` and `at_most`."""
    objectives: list[ObjectiveCard] = []
    search: Literal["exact", "approximate"] = "exact"
    """approximate: there are so many items that an index names those to score, unless filters leave
    few; each answer says which it was."""
    events: list[str]
    metrics: dict[str, Any]
    example_users: list[str]
    """A few known user ids, to start from."""


class UserCard(_Message):
    """What is stored of a user, newest first."""

    user_id: str
    known: bool
    history: list[UserHistoryItem]


class UserHistoryItem(_Message):
    """One stored interaction or feedback event."""

    item_id: str
    title: str
    event: str
    timestamp: int
    source: Literal["training", "feedback"]


class ErasureResponse(_Message):
    """What went of a user, and what remains; who it was is not repeated."""

    domain: str
    n_events: int
    """Feedback events."""
    tables: dict[str, int]
    """Table of the imported data → rows; `evaluations`: cases of saved evaluations."""
    releases: list[str]
    """Versions whose stored histories lack the user now."""
    trained_with: list[str]
    """Versions, of those still there, whose weights were trained with the user's events."""
    remains: str
    """The same in words, and what to do."""


class DomainSummary(_Message):
    """One served domain, as the list of domains shows it."""

    name: str
    title: str
    description: str = ""
    language: str = "en"
    task: str = "rank"
    simulated: bool = False
    release: str


class DomainList(_Message):
    """Every served domain, sorted by name."""

    domains: list[DomainSummary]


class Health(_Message):
    """The service is up; says nothing about single domains."""

    status: Literal["ok"] = "ok"
    version: str
    domains: list[str]


class Readiness(_Message):
    """Whether every domain and the encoder answer."""

    ready: bool
    applications: dict[str, str]
    """Application → its state in words (`RUNNING`, `DEPLOYING`, …)."""


class ErrorBody(_Message):
    """Every error of the API: one clear sentence."""

    error: str
    kind: str = ""
    """Name of the class in `crossrec.errors`, so that a client can raise it again."""
    request_id: str | None = None


UserCard.model_rebuild()
