"""Turns relevance into a list: candidates, objectives and their weights, limits, pins.

What a request asks beside relevance comes in here. Leaves to others: relevance (recommender.py),
what objectives measure and how lists are picked (ranking/).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from crossrec.errors import RequestError, suggest
from crossrec.explanation.text import sentence
from crossrec.ranking.learner_policy import Drawn
from crossrec.ranking.likeness import Alike, Codes, by_text, by_values, item_vectors, value_codes
from crossrec.ranking.objectives import Measured, Moment, Objectives, Sources
from crossrec.ranking.pool import WHOLE, Pool
from crossrec.ranking.rerank import Picked, Rules, Small, pick, small_providers, top_k
from crossrec.ranking.scale import SPAN, spread
from crossrec.ranking.weights import ONLY_RELEVANCE, Draw, Weigh, Weights, merged
from crossrec.releases.store import LoadedRelease
from crossrec.serving.messages import Explanation, Part, RecommendRequest
from crossrec.serving.questions import Question

Relevance = NDArray[np.float32]
REMEMBERED_COLUMNS = 8
MIN_SEEN, MAX_SEEN, SEEN_SHARE = 30, 100, 3
"""Candidates noted of an answer that a learner has part in: thrice the list, within bounds."""


class Ranked(NamedTuple):
    """One item of the list; a tuple, for a frozen dataclass takes three times as long to make."""

    item_idx: int
    score: float
    objectives: dict[str, float]
    """They sum to the score."""
    measures: dict[str, float]
    pinned: bool


@dataclass(frozen=True)
class Seen:
    """What a learner is to know of an answer: its items in order, then the best of the others."""

    item_idx: NDArray[np.int64]  # (S,)
    relevance: NDArray[np.float64]  # (S,) in units of the spread
    standings: NDArray[np.float64]  # (S, D), of the learner's objectives
    n_shown: int
    plain: bool
    """The list is in the order of the scores: nothing is pinned, limited, or list-wise."""


@dataclass(frozen=True)
class Ranking:
    """The list, and how it came about."""

    items: list[Ranked]
    weights: Weights
    ignored: list[str] = field(default_factory=list)
    """What was not used, one sentence each."""
    drawn: Drawn | None = None
    """Learned weights, where they were used."""
    seen: Seen | None = None
    """With them, where somebody is answered."""


@dataclass(frozen=True)
class _Weighed:
    """Objectives beside relevance that say something of each item by itself."""

    weights: Weights
    """Of all objectives."""
    unit: float
    """What a weight of 1 is worth."""
    measured: dict[str, Measured]

    def parts(self, relevance: float, one: Picked) -> dict[str, float]:
        """What each objective gives to an item; `one` names its place."""
        found = {}
        for name, weight in self.weights.items():
            if name == "relevance":
                found[name] = weight * relevance
            elif name in self.measured:
                found[name] = weight * self.unit * float(self.measured[name].standing[one.item_idx])
            else:
                found[name] = {"diversity": one.diversity, "exposure": one.exposure}.get(name, 0.0)
        return found


class Ranker:
    """Ranks for one release.

    Args:
        loaded: the release.
        weigh: what gives weights in place of the declared ones; None: the domain's YAML alone.

    Raises:
        ReleaseError: an objective of the domain's YAML does not fit its data.
    """

    def __init__(self, loaded: LoadedRelease, weigh: Weigh | None = None) -> None:
        self._catalogue = loaded.catalogue
        self._vocabulary = loaded.model.vocabulary
        self._vectors = item_vectors(loaded.model)
        domain, values = loaded.model.domain, loaded.model.vocabulary.context_values
        self.objectives = Objectives(Sources(domain, values, loaded.catalogue, self._vectors))
        self._weigh = weigh
        self._only_relevance = self.objectives.weights == ONLY_RELEVANCE
        self._codes = lru_cache(REMEMBERED_COLUMNS)(self._read_codes)
        self._small = lru_cache(1)(self._find_small)

    def is_short(self, request: RecommendRequest) -> bool:
        """Whether relevance alone decides, so that ranking is no work."""
        asked = request.objectives or request.at_most or request.pinned
        learned = self._weigh is not None and self._weigh.active
        return self._only_relevance and not asked and not learned

    def drawn(self, request: RecommendRequest, question: Question, draw: Draw) -> Drawn | None:
        """Learned weights, where the request gives none of its own."""
        if self._weigh is None or request.objectives or not self._weigh.active:
            return None
        return draw(question.queries.context)

    def rank(
        self,
        request: RecommendRequest,
        question: Question,
        relevance: Relevance,
        allowed: NDArray[np.bool_] | None,
        drawn: Drawn | None = None,
        pool: Pool = WHOLE,
        *,
        note: bool = False,
    ) -> Ranking:
        """The best k items that the request allows; fewer where it allows fewer.

        Args:
            request: as it came.
            question: what it comes to.
            relevance: (C,) of the pool's items.
            allowed: (N,) what filters leave; None: everything.
            drawn: learned weights; None: the declared ones.
            pool: the C items that the list is made of, those that are pinned among them.
            note: whether the learner is to know of the list.

        Raises:
            RequestError: an objective or column that there is not, a weight or pin that cannot be.
        """
        ignored: list[str] = []
        candidates = self._candidates(request, question, relevance, allowed, ignored, pool)
        if self.is_short(request):
            best = (int(item) for item in top_k(candidates, request.k))
            found = [(item, float(relevance[item])) for item in best if candidates[item] > -np.inf]
            items = [
                Ranked(pool.item(place), score, {"relevance": score}, {}, False)
                for place, score in found
            ]
            return Ranking(items, ONLY_RELEVANCE, ignored)
        weights = self._weights(request, drawn)
        wide = candidates.astype(np.float64)
        weighed = self._measured(weights, request, question, spread(wide), ignored, pool)
        exact = relevance.astype(np.float64)
        scores = np.where(wide > -np.inf, weights.get("relevance", 0.0) * exact, -np.inf)
        for name, measured in weighed.measured.items():
            scores += weights[name] * weighed.unit * measured.standing.astype(np.float64)
        rules = self._rules(request, weighed, ignored, pool)
        picked = pick(scores, request.k, rules)
        items = [self._ranked(one, relevance, weighed, pool) for one in picked]
        seen = None
        if drawn is not None and note:
            plain = not (rules.at_most or rules.pinned or rules.diversity or rules.exposure)
            shown = [one.item_idx for one in picked]
            of_pool = exact / weighed.unit
            seen = self._seen(shown, scores, of_pool, weighed, question, plain, pool)
        return Ranking(items, weights, ignored, drawn, seen)

    def _candidates(
        self,
        request: RecommendRequest,
        question: Question,
        relevance: Relevance,
        allowed: NDArray[np.bool_] | None,
        ignored: list[str],
        pool: Pool,
    ) -> Relevance:
        """Relevance of what may be recommended, -inf for the rest."""
        found = relevance.copy()
        if allowed is not None:
            found[~pool.take(allowed)] = -np.inf
        found[pool.places(question.disliked)] = -np.inf
        if request.exclude_seen:
            found[pool.places(question.history)] = -np.inf
        if request.blocked:
            found[pool.places(self._known(request.blocked, "blocked", ignored))] = -np.inf
        return found

    def _known(self, item_ids: list[str], what: str, ignored: list[str]) -> list[int]:
        """item_idx of those that the release has."""
        known = self._vocabulary.item_idx
        ignored += [f"{what} item '{i}': no item has this id" for i in item_ids if i not in known]
        return [known[item_id] for item_id in item_ids if item_id in known]

    def _weights(self, request: RecommendRequest, drawn: Drawn | None) -> Weights:
        self.objectives.check(request.objectives)
        learned = {} if drawn is None else drawn.weights
        # an edition of a release may support less than the one that the learner knows
        known = {name: w for name, w in learned.items() if self.objectives.is_by_item(name)}
        return merged(self.objectives.weights, known, request.objectives)

    def _seen(
        self,
        shown: list[int],
        scores: NDArray[np.float64],
        relevance: NDArray[np.float64],
        weighed: _Weighed,
        question: Question,
        plain: bool,
        pool: Pool,
    ) -> Seen:
        """What a learner is to know; an objective that has nothing to go by stands at 0.

        Args:
            shown: places of the list's items.
            scores: (C,), -inf for what is no candidate.
            relevance: (C,) in units of the spread.
        """
        assert self._weigh is not None
        n_seen = min(max(SEEN_SHARE * len(shown), MIN_SEEN), MAX_SEEN)
        others = [int(row) for row in top_k(scores, n_seen) if row not in shown]
        others = [row for row in others if scores[row] > -np.inf][: max(n_seen - len(shown), 0)]
        rows = np.array([*shown, *others], np.int64)
        standings = np.zeros((len(rows), len(self._weigh.objectives)))
        for column, name in enumerate(self._weigh.objectives):
            measured = weighed.measured.get(name)
            if measured is None and self.objectives.is_by_item(name):
                measured = self._at(name, self._moment(question), pool)
            if measured is not None:
                standings[:, column] = measured.standing[rows]
        return Seen(pool.items(rows), relevance[rows], standings, len(shown), plain)

    def _at(self, name: str, moment: Moment, pool: Pool) -> Measured | None:
        """What an objective says of the pool's items; each stands where it does among all."""
        found = self.objectives.measure(name, moment)
        return found and Measured(pool.take(found.values), pool.take(found.standing))

    @staticmethod
    def _moment(question: Question) -> Moment:
        queries = question.queries
        return Moment(int(queries.now[0]), question.history, queries.context)

    def _measured(
        self,
        weights: Weights,
        request: RecommendRequest,
        question: Question,
        unit: float,
        ignored: list[str],
        pool: Pool,
    ) -> _Weighed:
        """What the weighted objectives say of each item by itself."""
        moment = self._moment(question)
        found: dict[str, Measured] = {}
        for name in weights:
            if not self.objectives.is_by_item(name):
                continue
            measured = self._at(name, moment, pool)
            if measured is not None:
                found[name] = measured
            elif name in request.objectives:
                ignored.append(f"objective '{name}': {self.objectives.needs(name)}")
        return _Weighed(weights, unit, found)

    def _rules(
        self, request: RecommendRequest, weighed: _Weighed, ignored: list[str], pool: Pool
    ) -> Rules:
        diversity = weighed.weights.get("diversity", 0.0)
        exposure = weighed.weights.get("exposure", 0.0)
        return Rules(
            at_most=[(pool.take(self._column(name)), n) for name, n in request.at_most.items()],
            pinned={
                position: int(pool.places([item])[0])
                for position, item in self.pins(request, ignored).items()
            },
            alike=self._alike(pool) if diversity else None,
            diversity=diversity * weighed.unit * SPAN,
            providers=self._small_of(pool) if exposure else None,
            exposure=exposure * weighed.unit * SPAN,
        )

    def pins(self, request: RecommendRequest, ignored: list[str]) -> dict[int, int]:
        """Position → item_idx.

        Raises:
            RequestError: two pins in one place, or of one item; one that is blocked, or below k.
        """
        pins = {pin.position: pin.item_id for pin in request.pinned}
        if len(pins) < len(request.pinned) or len(set(pins.values())) < len(pins):
            raise RequestError("two pins share a position or an item; expected one pin for each")
        for position, item_id in pins.items():
            if position > request.k:
                raise RequestError(
                    f"item '{item_id}' is pinned at {position}, but k is {request.k}"
                )
            if item_id in request.blocked:
                raise RequestError(f"item '{item_id}' is both pinned and blocked; choose one")
        self._known(list(pins.values()), "pinned", ignored)
        known = self._vocabulary.item_idx
        return {position: known[item] for position, item in pins.items() if item in known}

    def _column(self, name: str) -> Codes:
        columns = self._catalogue.columns
        if name not in columns:
            raise RequestError(f"at_most: no item column '{name}': {suggest(name, columns)}")
        return self._codes(name)

    def _read_codes(self, column: str) -> Codes:
        return value_codes(self._catalogue.entries(column))

    def _alike(self, pool: Pool) -> Alike:
        column = self.objectives.declared["diversity"].column
        if column is not None:
            return by_values(pool.take(self._codes(column)))
        assert self._vectors is not None  # else the objective would not be supported
        alike = by_text(self._vectors)
        return lambda places: alike(pool.items(places))

    def _small_of(self, pool: Pool) -> Small:
        found = self._small()
        return Small(pool.take(found.small), pool.take(found.known))

    def _find_small(self) -> Small:
        column = self.objectives.declared["exposure"].column
        assert column is not None
        return small_providers(self._codes(column), self._catalogue.seen[0])

    @staticmethod
    def _ranked(one: Picked, relevance: Relevance, weighed: _Weighed, pool: Pool) -> Ranked:
        parts = weighed.parts(float(relevance[one.item_idx]), one)
        measures = {
            name: float(measured.values[one.item_idx])
            for name, measured in weighed.measured.items()
            if not np.isnan(measured.values[one.item_idx])
        }
        item = pool.item(one.item_idx)
        return Ranked(item, sum(parts.values()), parts, measures, one.pinned)


def with_objectives(explanation: Explanation, ranked: Ranked, weights: Weights) -> Explanation:
    """The explanation of relevance as one of the score: relevance by its weight, and a part for
    each other objective, which the sentence then knows as well.
    """
    if weights == ONLY_RELEVANCE:
        return explanation
    weight = weights.get("relevance", 0.0)
    parts = [part.model_copy(update={"value": weight * part.value}) for part in explanation.parts]
    given = [
        Part(kind="objective", name=name, label=name, value=value)
        for name, value in ranked.objectives.items()
        if name != "relevance"
    ]
    says = sentence([*parts, *given]) if given else explanation.sentence
    update = {"score": ranked.score, "parts": [*parts, *given], "sentence": says}
    return explanation.model_copy(update=update)
