"""What goes over HTTP when somebody looks into releases, data, searches and transfers.

Read-only. Leaves to others: all other messages (messages.py), where the figures come from
(insight.py, comparing.py). Rows that a chart or table takes as they are stay plain dictionaries,
whose keys stand here.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from crossrec.serving.live_messages import ArmResults

Row = dict[str, Any]


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ReleaseCard(_Message):
    """One release of a domain."""

    version: str
    created: str
    """ISO 8601, UTC."""
    current: bool
    evaluated: bool
    """`crossrec evaluate` kept its single cases, which comparisons and audits need."""
    protocol: str
    data_hash: str
    seed: int
    n: int | None = None
    """Test cases."""
    metrics: dict[str, float | None] = {}
    ci95: dict[str, list[float | None]] = {}


class ReleaseList(_Message):
    """Releases of a domain, newest first; damaged ones are left out."""

    releases: list[ReleaseCard]


class ReleaseReport(_Message):
    """What an evaluation of a release found."""

    domain: str
    version: str
    min_group: int
    """Users that a group has, at least."""
    report: Row
    """As `crossrec evaluate --json` prints it: rows of models, baselines and peers."""
    provider_column: str
    groups: list[Row]
    """trait, value, audit, n, cold, head_share, coverage@10, and of ndcg@10 and recall@10 the
    mean with its interval, and the gap to all other users with its own (`…_gap`)."""
    popularity: list[Row]
    """items, interactions, shown: cumulative shares, the most popular items first."""
    calibration: list[Row]
    """n, predicted, observed, error: of cases by how sure the scores were of the first item."""
    providers: list[Row]
    """provider, n_items; catalogue, interactions, shown: shares; gap of the last two, with ends."""
    deletion: Row | None = None
    """ratio (area over random orders), ci95, n; None: the deletion test was not run."""


class MetricGap(_Message):
    """A metric of two releases on the cases that both were judged on."""

    metric: str
    a: float
    b: float
    gap: float
    """b less a."""
    low: float | None = None
    high: float | None = None
    """95 % bootstrap interval of the gap, over users; None: one of the evaluations kept no errors
    of single ratings (rmse, mae), and `a` and `b` are of all cases that each was judged on."""


class Comparison(_Message):
    """Two releases on the users and targets that both were judged on."""

    domain: str
    a: str
    b: str
    n: int
    n_a: int
    n_b: int
    metrics: list[MetricGap]
    overlap: list[Row]
    """shared, n: users by how many of the 10 first items both lists have."""
    moves: list[Row]
    """move, n: cases by what became of the target's rank."""
    losers: list[Row]
    """user_id, target, title, n_history, rank_a, rank_b, gain (of NDCG@10); worst first."""
    winners: list[Row]
    items: list[Row]
    """item_id, title, n_train, shown_a, shown_b, change: those whose places changed most; counted
    over the common cases."""


class ItemComparison(_Message):
    """One item in two releases."""

    item_id: str
    title: str
    n_train: int
    shown_a: int
    """Lists of common cases that it is in."""
    shown_b: int
    n_targets: int
    """Cases, common to both, whose target it is."""
    hits_a: int
    hits_b: int
    cases: list[Row]
    """user_id, n_history, rank_a, rank_b: at most 50 of them."""


class FoundUser(_Message):
    """A user whom a search found."""

    user_id: str
    n_history: int
    """Interactions that the release knows."""
    had: list[str] = []
    """Titles of the items that the words mean and the user had."""


class UserList(_Message):
    """Users of a domain, best first."""

    users: list[FoundUser]


class ArmState(_Message):
    """An arm of the experiment that runs or ran last: who answers in it, and what came of it."""

    name: str
    release: str | None = None
    """None: the experiment is over."""
    share: float | None = None
    """Of the users."""
    results: ArmResults | None = None
    """None: nothing was counted yet."""


class ArmList(_Message):
    """Arms of a domain; empty where no experiment runs or ran."""

    experiment: str | None = None
    running: bool = False
    arms: list[ArmState] = []
    """`control` first."""


Progress = Literal["ready", "being_made"]


class ItemMap(_Message):
    """Items of a release on a plane; what is near is alike."""

    state: Progress
    """being_made: it is computed now, for the first time; ask again in a moment."""
    views: dict[str, list[list[float]]] = {}
    """View → (n, 2) places: `text`, what item texts say to the encoder; `adapted`, what they say
    with the release's adapter, if it has one; `trained`, what training made of the items."""
    methods: dict[str, str] = {}
    item_ids: list[str] = []
    titles: list[str] = []
    categories: list[str] = []
    n_train: list[int] = []
    """How often each is in the stored histories."""
    n_items: int = 0
    """Of the catalogue; the map may hold a draw of them."""


class DataProfile(_Message):
    """What was imported of a domain."""

    state: Progress
    card: Row = {}
    """tables, rejected, repaired, source, imported_at, not_imported, content_hash, versions."""
    rejected: list[Row] = []
    """table, reason, n, rows: the numbers of the first rows of the source with that reason."""
    columns: list[Row] = []
    """table, column, kind, missing (share), distinct."""
    distributions: list[Row] = []
    """table, name, label, low (null for words), n; a distribution's bars have one name."""


class ExperimentCard(_Message):
    """One search for settings."""

    run: str
    domain: str
    n_trials: int
    best: float | None


class ExperimentList(_Message):
    """Searches, newest first."""

    experiments: list[ExperimentCard]


class Experiment(_Message):
    """One search with its trials."""

    run: str
    domain: str
    judged: str
    """What the figure of a trial is."""
    trials: list[Row]
    """trial, value, state, epochs, seconds, error, point (setting → value), figures (validation
    figure after each epoch; searches of before this was kept lack it)."""


class TransferList(_Message):
    """What `crossrec transfer` found, newest first."""

    transfers: list[Row]
    """As `crossrec transfer --json` prints it, and `at` in seconds since 1970."""


class LiveState(_Message):
    """What the service is doing."""

    at: float
    """Seconds since 1970 UTC."""
    applications: dict[str, str]
    feedback: list[Row]
    """domain, day (ISO), event, n, n_users: the newest 30 days with feedback."""
    requests: list[Row] = []
    """domain, route, status, n, mean_ms, p50_ms, p95_ms: since the service began."""
    stages: list[Row] = []
    """domain, route, stage, n, mean_ms: parts of a request's time."""
    drift: list[Row] = []
    """domain, answers, psi (of the best scores against the release's own; null: too few answers),
    words, unknown_words (share that no item has)."""
    alerts: list[str] = []
    """What is wrong, one sentence each."""
