"""A client with a small catalogue of its own: the one thing that tests of the app replace."""

from __future__ import annotations

from typing import Any, ClassVar

from crossrec.errors import RequestError, ServiceError
from crossrec.serving.explanation_messages import (
    Contrast,
    Counterfactual,
    ExplainRequest,
    ExplainResponse,
)
from crossrec.serving.messages import (
    ContextCard,
    DomainCard,
    DomainSummary,
    Explanation,
    FeedbackEvent,
    FeedbackResponse,
    ObjectiveCard,
    Part,
    Recommendation,
    RecommendRequest,
    RecommendResponse,
    RejectedEvent,
    UserCard,
    UserHistoryItem,
)

TITLES = {"1": "Alien", "2": "Brazil", "3": "*batteries not included", "4": "Duel", "5": "Fargo"}
METRICS = {
    "protocol": "leave_one_out",
    "part": "test",
    "n": 943,
    "data_hash": "0123456789abcdef",
    "metrics": {"ndcg@10": 0.1125, "recall@10": 0.21},
    "ci95": {"ndcg@10": [0.1, 0.125], "recall@10": [0.19, 0.23]},
    "coverage": {"coverage@10": 0.5},
}


class FakeClient:
    """Answers as the service would; what it was asked and told is kept in `asked` and `told`."""

    down: ClassVar[bool] = False
    served: ClassVar[list[str]] = ["movies", "restaurants_sim"]
    learned: ClassVar[dict[str, float]] = {}
    asked: ClassVar[list[tuple[str, RecommendRequest]]] = []
    told: ClassVar[list[FeedbackEvent]] = []
    explained: ClassVar[list[ExplainRequest]] = []

    def __init__(self, base_url: str, api_key: str | None = None) -> None:
        self.base_url = base_url

    def domains(self) -> list[DomainSummary]:
        self._answers()
        return [DomainSummary(**_facts(name)) for name in self.served]

    def card(self, domain: str) -> DomainCard:
        self._answers()
        simulated = domain.endswith("_sim")
        return DomainCard(
            **_facts(domain),
            encoder="all-MiniLM-L6-v2",
            n_items=len(TITLES),
            n_users=943,
            context=_context() if simulated else [],
            filter_columns={"year": "number", "director": "text"},
            objectives=_objectives() if simulated else [],
            events=["rating"],
            metrics=METRICS if domain == "movies" else {},
            example_users=["7", "8"],
        )

    def recommend(self, domain: str, request: RecommendRequest) -> RecommendResponse:
        self._answers()
        self.asked.append((domain, request))
        liked = [event.item_id for event in self.told]
        items = [item_id for item_id in TITLES if item_id not in liked]
        if "year" in request.filters:
            items = []
        known = request.user_id in ("7", "8")
        return RecommendResponse(
            domain=domain,
            release="r-1",
            user_known=known,
            based_on=["history", "popularity"] if known else ["popularity"],
            weights=_declared(domain) | (request.objectives or self.learned),
            weights_version=7 if self.learned and not request.objectives else None,
            items=[_item(rank, i) for rank, i in enumerate(items[: request.k], start=1)],
            request_id="request-1",
        )

    def explain(self, domain: str, asked: ExplainRequest) -> ExplainResponse:
        self._answers()
        self.explained.append(asked)
        if asked.item_id == "4":
            raise RequestError("item '4' is not among those that are recommended")
        item, other = _item(1, asked.item_id), TITLES[asked.against or "2"]
        parts = [Part(kind="history", name="5", label="Fargo", value=0.5)]
        zh = asked.language == "zh"
        assert item.explanation is not None
        return ExplainResponse(
            domain=domain,
            release="r-1",
            item_id=asked.item_id,
            title=item.title,
            rank=1,
            score=item.score,
            signals=item.signals,
            explanation=item.explanation,
            counterfactuals=[
                Counterfactual(
                    kind="history",
                    names=["5"],
                    labels=["Fargo"],
                    rank=14,
                    sentence="如果没有Fargo" if zh else "Without Fargo it would be number 14.",
                )
            ]
            if asked.item_id == "1"
            else [],
            contrast=Contrast(
                item_id=asked.against or "2",
                title=other,
                rank=2,
                gap=0.5,
                parts=parts,
                sentence=f"{item.title} is above {other} by 0.50.",
            ),
        )

    def user(self, domain: str, user_id: str) -> UserCard:
        self._answers()
        history = [
            UserHistoryItem(
                item_id="5", title="Fargo", event="rating", timestamp=880_000_000, source="training"
            )
        ]
        known = user_id in ("7", "8")
        return UserCard(user_id=user_id, known=known, history=history if known else [])

    def feedback(self, domain: str, events: list[FeedbackEvent]) -> FeedbackResponse:
        self._answers()
        (event,) = events
        if event.item_id == "4":
            refusal = RejectedEvent(event_id=event.event_id, reason="no item '4'")
            return FeedbackResponse(accepted=0, duplicates=0, rejected=[refusal])
        self.told.append(event)
        return FeedbackResponse(accepted=1, duplicates=0)

    def _answers(self) -> None:
        if self.down:
            raise ServiceError(f"no crossrec service answers at {self.base_url}")


def _facts(name: str) -> dict[str, Any]:
    simulated = name.endswith("_sim")
    return {
        "name": name,
        "title": f"The {name}",
        "description": "What it is.",
        "language": "en",
        "task": "rank",
        "simulated": simulated,
        "release": "r-1",
    }


def _objectives() -> list[ObjectiveCard]:
    return [
        ObjectiveCard(name="relevance", weight=1),
        ObjectiveCard(name="price", column="price_eur", higher_is_better=False, weight=0.2),
        ObjectiveCard(name="diversity"),
    ]


def _declared(domain: str) -> dict[str, float]:
    return {one.name: one.weight for one in _objectives() if domain.endswith("_sim") and one.weight}


def _context() -> list[ContextCard]:
    return [
        ContextCard(name="weather", kind="category", values=["rain", "sunny"]),
        ContextCard(name="hour", kind="cycle", period=24),
        ContextCard(name="weekday", kind="cycle", period=7),
        ContextCard(name="temperature", kind="number", description="degrees Celsius"),
        ContextCard(name="location", kind="place"),
        ContextCard(name="city", kind="category", values=["Vienna"], restricts="town"),
    ]


def _item(rank: int, item_id: str) -> Recommendation:
    score = 1 / rank
    parts = [
        Part(kind="base", name="base", label="base", value=score - 0.25),
        Part(kind="history", name="5", label="Fargo", value=0.25),
    ]
    return Recommendation(
        rank=rank,
        item_id=item_id,
        title=TITLES[item_id],
        category=["Drama"],
        score=score,
        signals={"sequence": score - 0.25, "text": 0.25},
        item={"year": 1979, "price": 2.6900001},
        explanation=Explanation(score=score, parts=parts, sentence=f"Because of {TITLES['5']}."),
    )
