"""Answers requests to one release: question → relevance → list, with what it rests on.

A plain class on numpy, without Ray or HTTP. Leaves to others: reading requests (questions.py),
ranking (ranker.py), keeping feedback (feedback_log.py), encoding words (a callable), transport
(deployments.py).
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from crossrec.explanation.contributions import MAX_ROWS, Lowering, explain
from crossrec.explanation.rescoring import Rescorer
from crossrec.explanation.things import Wish, without_each
from crossrec.ranking.learner_policy import Drawn
from crossrec.ranking.pool import WHOLE, Pool
from crossrec.ranking.weights import Draw, Weigh
from crossrec.releases.catalogue import CatalogueItem
from crossrec.releases.store import LoadedRelease
from crossrec.serving.context import restrictions
from crossrec.serving.feedback import FeedbackRules
from crossrec.serving.feedback_log import FeedbackLog, SeenBy
from crossrec.serving.finding import Finder
from crossrec.serving.learned_weights import LearnedWeights
from crossrec.serving.messages import (
    Explanation,
    FeedbackEvent,
    FeedbackResponse,
    Recommendation,
    RecommendRequest,
    RecommendResponse,
)
from crossrec.serving.questions import Question, QuestionReader
from crossrec.serving.ranker import Ranked, Ranker, Ranking, with_objectives
from crossrec.serving.scoring import Scored, Scorer, sum_signals
from crossrec.serving.stages import ADMIT, EXPLAIN, FILTER, LOG, QUEUE, RANK, READ, SEARCH, lap

Vectors = NDArray[np.float32]
Encode = Callable[[list[str]], Awaitable[Vectors]]
"""Texts → (n, E); awaited only where a request has words."""
Basis = Literal["history", "request", "context", "popularity"]
Search = Literal["exact", "approximate"]
Result = TypeVar("Result")

CACHED_TEXTS = 512
CACHED_ITEMS = 1024
LONG_WORK = 200_000
"""Scores (rows × items) from which on scoring leaves the event loop: about 5 ms of it."""
RANKING_ROWS = 10
"""Rows of scores that take about as long as ranking by several objectives."""


@dataclass(frozen=True)
class Asked:
    """A request with its list, and what it comes from."""

    question: Question
    wish: Vectors | None
    """The encoded text, (E,)."""
    allowed: NDArray[np.bool_] | None
    """(N,) what filters leave; None: everything."""
    scored: Scored
    ranking: Ranking
    search: Search = "exact"


class Recommender:
    """Recommends from one release; one object a release, any number of requests at once."""

    def __init__(
        self,
        loaded: LoadedRelease,
        encode: Encode,
        feedback_log: FeedbackLog,
        clock: Callable[[], float] = time.time,
        weigh: Weigh | None = None,
    ) -> None:
        self.loaded = loaded
        self.model = loaded.model
        self.catalogue = loaded.catalogue
        self.domain = loaded.model.domain
        self.rules = FeedbackRules(self.domain, self.model.vocabulary, self.catalogue.rating_range)
        # a data set may lack a column that the domain's YAML names
        known = set(self.catalogue.columns)
        self._shown = [name for name in self.domain.card_columns if name in known] or None
        self._reader = QuestionReader(loaded, self.rules)
        self.ranker = Ranker(loaded, weigh)
        self._weigh = weigh
        self._learned = weigh if isinstance(weigh, LearnedWeights) else None
        self._log = feedback_log
        self._encode = encode
        self._clock = clock
        search = loaded.search
        self.rescorer = Rescorer(loaded.model, None if search is None else search.moments)
        self.scorer = Scorer(loaded.model, self.rescorer)
        self._search: Finder | None = None
        if search is not None:
            self._search = Finder(loaded, search, self.rescorer, self.ranker)
        self._wishes: OrderedDict[str, Vectors] = OrderedDict()
        self._lately: dict[int, CatalogueItem] = {}

    async def recommend(
        self, request: RecommendRequest, request_id: str | None = None
    ) -> RecommendResponse:
        """The best k items that the request allows; fewer where it allows fewer.

        Context that restricts candidates is a filter like those of the request, beside them. Ties
        keep the order of the catalogue. Somebody unknown gets an answer from words, context
        or popularity, and `user_known` says so.

        Raises:
            RequestError: an unknown context field, filter or objective, or a value it cannot have.
            ServiceError: the request has words and the encoder does not answer.
        """
        request_id = request_id or uuid.uuid4().hex
        draw = None
        if self._weigh is not None:
            draw = partial(self._weigh.draw, who=request.user_id or request_id)
        asked = await self._ask(request, draw, note=True)
        question, ranking = asked.question, asked.ranking
        self._note(request_id, request.user_id, asked)
        reasons = await self.reasons(request, asked, ranking.items) if request.explain else []
        return RecommendResponse(
            domain=self.domain.name,
            release=self.loaded.release.version,
            user_known=question.user_known,
            based_on=_basis(question, request, asked.wish),
            ignored=question.ignored + ranking.ignored + _ignored_text(request),
            weights=ranking.weights,
            weights_version=ranking.drawn.version if ranking.drawn else None,
            search=asked.search,
            items=self._recommendations(ranking.items, asked.scored, reasons),
            request_id=request_id,
        )

    async def ask(self, request: RecommendRequest) -> Asked:
        """What would answer a request with the declared weights, with all that it comes from;
        raises as `recommend`.
        """
        return await self._ask(request, None)

    async def ask_again(self, request: RecommendRequest, request_id: str | None) -> Asked:
        """The same of an answer that was given, with the weights that it had; the learner hears
        nothing of it.

        Args:
            request: as it came.
            request_id: of the answer; None: that is not known.
        """
        draw = None
        if self._weigh is not None:
            who = request.user_id or request_id
            draw = partial(self._weigh.again, who=who, request_id=request_id)
        return await self._ask(request, draw)

    async def _ask(
        self, request: RecommendRequest, draw: Draw | None, *, note: bool = False
    ) -> Asked:
        """Read a request, and answer it.

        Args:
            request: as it came.
            draw: gives learned weights; None: the declared ones hold.
            note: whether the learner is to know of the list.
        """
        lap(ADMIT)
        allowed = None
        if request.filters or request.where:
            allowed = self.catalogue.mask(request.filters, request.where)
            lap(FILTER)
        wish = await self._wish(request.text)
        if wish is not None:
            lap(QUEUE)
        feedback = []
        if request.user_id is not None:
            feedback = self._log.recent(self.domain.name, request.user_id)
            lap(LOG)
        question = self._reader.read(request, feedback, wish, self._clock())
        for restriction in restrictions(self.domain, request.context):
            candidates = self.catalogue.mask(restriction)
            allowed = candidates if allowed is None else allowed & candidates
        drawn = None if draw is None else self.ranker.drawn(request, question, draw)
        lap(READ)
        pool = WHOLE
        if self._search is not None:
            find = partial(self._search.pool, request=request, allowed=allowed)
            pool = await self.on_loop(find, question, rows=1)
        rank = partial(self._answer, request, question, allowed, drawn, note)
        scored, ranking = await rank(pool)
        partly = self._search is not None and self._search.is_partial(pool, allowed)
        if partly and len(ranking.items) < request.k:  # limits leave too few of the candidates
            scored, ranking = await rank(WHOLE)
            partly = False
        search: Search = "approximate" if partly else "exact"
        return Asked(question, wish, allowed, scored, ranking, search)

    async def _answer(
        self,
        request: RecommendRequest,
        question: Question,
        allowed: NDArray[np.bool_] | None,
        drawn: Drawn | None,
        note: bool,
        pool: Pool,
    ) -> tuple[Scored, Ranking]:
        """Scores of the pool's items, and the list that is made of them."""
        score = partial(self.scorer.score, pool=pool)
        scored = await self.on_loop(score, question, rows=1 + len(question.disliked))
        relevance = sum_signals(scored.signals)
        lap(SEARCH)
        ranking = await self.on_loop(
            lambda asked: self.ranker.rank(
                request, asked, relevance, allowed, drawn, pool, note=note
            ),
            question,
            rows=0 if self.ranker.is_short(request) else RANKING_ROWS,
        )
        lap(RANK)
        return scored, ranking

    async def feedback(
        self, events: list[FeedbackEvent], seen_by: SeenBy | None = None
    ) -> FeedbackResponse:
        """Store what can be stored; it is on disk when this returns.

        Args:
            seen_by: the arm of an experiment that the users are in.

        Raises:
            ServiceError: nothing could be stored.
        """
        kept, rejected = self.rules.sort_out(events, self._clock())
        added = 0
        if kept:
            if self._learned is not None:
                self._learned.heard(kept)
            added = await asyncio.wrap_future(self._log.append(self.domain.name, kept, seen_by))
        return FeedbackResponse(accepted=added, duplicates=len(kept) - added, rejected=rejected)

    def _note(self, request_id: str, user_id: str | None, asked: Asked) -> None:
        """Let the learner know what was shown, where it had a part in that."""
        drawn, seen = asked.ranking.drawn, asked.ranking.seen
        if self._learned is None or drawn is None or seen is None:
            return
        item_ids = self.model.vocabulary.item_ids
        context = asked.question.queries.context
        self._learned.shown(request_id, user_id, context, drawn, seen, item_ids)

    async def encode(self, texts: list[str]) -> Vectors:
        """Vectors of texts as the release's encoder reads them: (n, E).

        Raises:
            ServiceError: the encoder does not answer.
        """
        return await self._encode(texts)

    async def _wish(self, text: str | None) -> Vectors | None:
        """The encoded text, (E,); a text asked before is not encoded again."""
        words = " ".join((text or "").split())
        if not words:
            return None
        if words in self._wishes:
            self._wishes.move_to_end(words)
            return self._wishes[words]
        vector: Vectors = (await self._encode([words]))[0]
        self._wishes[words] = vector
        if len(self._wishes) > CACHED_TEXTS:
            self._wishes.popitem(last=False)
        return vector

    async def on_loop(
        self, work: Callable[[Question], Result], question: Question, rows: int
    ) -> Result:
        """Run short work here and long work in a thread: a thread costs more than it saves."""
        if rows * self.catalogue.n_items < LONG_WORK:
            return work(question)
        return await asyncio.to_thread(work, question)

    async def reasons(
        self, request: RecommendRequest, asked: Asked, items: list[Ranked]
    ) -> list[Explanation]:
        """One explanation for each of some items of the list, all from one batch."""
        best = [one.item_idx for one in items]
        words, left = without_each(request.text or "")
        # a single word is the whole request, whose absence needs no encoding
        vectors = await self._encode(left) if len(words) > 1 else np.zeros((0, 0), np.float32)
        wish = Wish(words, vectors, left)
        lowerings = [
            Lowering(item_idx, taken[asked.scored.pool.places(best)])
            for item_idx, taken in asked.scored.taken.items()
        ]

        def work(of: Question) -> list[Explanation]:
            titles = self.catalogue.titles
            return explain(self.model, of.queries, best, titles, wish, lowerings, self.rescorer)

        found = await self.on_loop(work, asked.question, rows=MAX_ROWS)
        lap(EXPLAIN)
        weights = asked.ranking.weights
        pairs = zip(found, items, strict=True)
        return [with_objectives(reason, one, weights) for reason, one in pairs]

    def _recommendations(
        self, ranked: list[Ranked], scored: Scored, reasons: list[Explanation]
    ) -> list[Recommendation]:
        best = [one.item_idx for one in ranked]
        signals = scored.each(best)
        return [
            Recommendation(
                rank=rank,
                item_id=item.item_id,
                title=item.title,
                category=item.category,
                score=one.score,
                objectives=one.objectives,
                measures=one.measures,
                pinned=one.pinned,
                signals=signals[rank - 1],
                item=item.columns,
                explanation=reasons[rank - 1] if reasons else None,
            )
            for rank, (one, item) in enumerate(zip(ranked, self._items(best), strict=True), start=1)
        ]

    def _items(self, best: list[int]) -> list[CatalogueItem]:
        """The items at row numbers, without what is missing of them; those shown lately are
        remembered.
        """
        new = [item_idx for item_idx in best if item_idx not in self._lately]
        if len(self._lately) + len(new) > CACHED_ITEMS:
            self._lately, new = {}, best
        for item in self.catalogue.cards(new, self._shown):
            there = {name: value for name, value in item.columns.items() if value is not None}
            self._lately[item.item_idx] = replace(item, columns=there)
        return [self._lately[item_idx] for item_idx in best]


def _basis(question: Question, request: RecommendRequest, wish: Vectors | None) -> list[Basis]:
    basis: list[Basis] = []
    if len(question.history):
        basis.append("history")
    if wish is not None:
        basis.append("request")
    if request.context:
        basis.append("context")
    return basis or ["popularity"]


def _ignored_text(request: RecommendRequest) -> list[str]:
    if request.text is not None and not request.text.strip():
        return ["text: it has no words"]
    return []
