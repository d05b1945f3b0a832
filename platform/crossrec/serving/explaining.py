"""Explains one item of an answer thoroughly: parts, counterfactuals, contrast, users like this one.

Done when somebody asks, not with every answer: a search scores many shortened histories. Leaves to
others: the answer itself (recommender.py), the figures (explanation/), HTTP (http_api.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from crossrec.data.ratings import rating_levels
from crossrec.errors import RequestError, ServiceError, UnknownItemError
from crossrec.explanation import counterfactuals as search
from crossrec.explanation.contrast import differences
from crossrec.explanation.item_words import text_parts, variants
from crossrec.explanation.paths import Fact, paths
from crossrec.explanation.phrases import Language
from crossrec.explanation.race import Race
from crossrec.explanation.similar import MAX_USERS, Group, similar_users
from crossrec.explanation.text import (
    contrast_sentence,
    part_label,
    rating_sentence,
    sentence,
    shares_sentence,
    similar_sentence,
    unknown_sentence,
    without_sentence,
)
from crossrec.explanation.things import whole
from crossrec.models.query import Queries
from crossrec.serving.explanation_messages import (
    Contrast,
    Counterfactual,
    ExplainRequest,
    ExplainResponse,
    ItemWord,
    SharedEntity,
    SimilarUsers,
)
from crossrec.serving.memory import memory_kept
from crossrec.serving.messages import MAX_K, Explanation, Part, RecommendRequest
from crossrec.serving.questions import Question
from crossrec.serving.recommender import Asked, Recommender
from crossrec.serving.stages import EXPLAIN, lap

ROWS = 400
"""About as many rows of scores as a search scores."""
LOOKED = 100
"""Places below the answer that are looked at for where an item went, where more than relevance
ranks."""


class Explainer:
    """Explains answers of one recommender."""

    def __init__(self, recommender: Recommender) -> None:
        self._recommender = recommender
        self._model = recommender.model
        self._catalogue = recommender.catalogue

    async def explain(self, asked_for: ExplainRequest) -> ExplainResponse:
        """Why the item is where it is; the request is answered again, as it is now, with the
        weights of the answer.

        Raises:
            UnknownItemError: an item that the domain does not have.
            RequestError: an item that is not in the answer, or one that is to be compared with
                itself, or what `recommend` raises.
            ServiceError: the request has words and the encoder does not answer, or the answer's
                weights cannot be looked up.
        """
        request, language = asked_for.request, asked_for.language
        asked = await self._recommender.ask_again(request, asked_for.request_id)
        place = self._place(asked, asked_for.item_id)
        other = self._other(asked, asked_for, place)
        items = asked.ranking.items
        chosen = [items[place]] + ([] if other is None else [items[other]])
        reasons = await self._recommender.reasons(request, asked, chosen)
        told = [self._told(one, asked_for) for one in reasons]
        titles = self._catalogue.titles([one.item_idx for one in chosen])

        def work(question: Question) -> list[Counterfactual]:
            if not asked_for.counterfactuals:
                return []
            race = self._race(request, asked)
            with memory_kept():
                found = search.counterfactuals(race, items[place].item_idx)
            return [self._counterfactual(one, asked, asked_for) for one in found]

        found = await self._recommender.on_loop(work, asked.question, rows=ROWS)
        alike = await self._recommender.on_loop(
            lambda question: self._similar(items[place].item_idx, request, question, language),
            asked.question,
            rows=ROWS,
        )
        words: list[ItemWord] = []
        if asked_for.text_parts:
            words = await self._words(items[place].item_idx, asked)
        shared = self._paths(items[place].item_idx, asked, language)
        lap(EXPLAIN)
        return ExplainResponse(
            domain=self._recommender.domain.name,
            release=self._recommender.loaded.release.version,
            item_id=asked_for.item_id,
            title=titles[0],
            rank=place + 1,
            score=items[place].score,
            signals=asked.scored.at(items[place].item_idx),
            explanation=told[0].model_copy(update={"parts": _labelled(told[0].parts, language)}),
            counterfactuals=found,
            contrast=None
            if other is None
            else self._contrast(told, titles, asked, (place, other), asked_for),
            similar_users=alike,
            text_parts=words,
            paths=shared,
        )

    def _paths(self, item: int, asked: Asked, language: Language) -> list[SharedEntity]:
        """What it shares with the history, newest first, in the knowledge graph."""
        queries = asked.question.queries
        history = queries.items[0][whole(queries).steps][::-1].tolist()
        own = [Fact(*tie) for tie in self._catalogue.shared([item])[item]]
        others = self._catalogue.shared(history, [fact.entity for fact in own])
        ties = {idx: [Fact(*tie) for tie in of] for idx, of in others.items()}
        n_items, ids = self._catalogue.n_items, self._model.vocabulary.item_ids
        told = []
        for path in paths(own, ties, n_items):
            labels = self._catalogue.titles(list(path.items))
            told.append(
                SharedEntity(
                    relation=path.fact.relation,
                    entity=path.fact.label or path.fact.entity,
                    item_ids=[ids[idx] for idx in path.items],
                    labels=labels,
                    n=path.fact.n,
                    strength=path.strength,
                    sentence=shares_sentence(path, labels, n_items, language),
                )
            )
        return told

    async def _words(self, item: int, asked: Asked) -> list[ItemWord]:
        """Words of the item's text; none where no encoder answers, which explains all the rest."""
        [card] = self._catalogue.cards([item], [])
        words, texts = variants(card.text)
        if not words:
            return []
        try:
            vectors = await self._recommender.encode(texts)
        except ServiceError:
            return []
        adapted = self._recommender.loaded.release.adapter_folder is not None
        queries = asked.question.queries
        found = text_parts(self._model, queries, item, words, vectors, adapted=adapted)
        return [ItemWord(word=one.word, value=one.value) for one in found]

    def _place(self, asked: Asked, item_id: str) -> int:
        """Where the item is in the answer, from 0."""
        item_idx = self._model.vocabulary.item_idx.get(item_id)
        if item_idx is None:
            raise UnknownItemError(
                f"no item of '{self._recommender.domain.name}' has the id '{item_id}'"
            )
        places = [one.item_idx for one in asked.ranking.items]
        if item_idx not in places:
            raise RequestError(
                f"item '{item_id}' is not among the {len(places)} that are recommended;"
                " expected one of them, or a larger k"
            )
        return places.index(item_idx)

    def _other(self, asked: Asked, asked_for: ExplainRequest, place: int) -> int | None:
        """Place of the item to compare with; None: there is no other."""
        if asked_for.against == asked_for.item_id:
            raise RequestError(
                f"item '{asked_for.item_id}' was to be compared with itself;"
                " expected another item of the answer"
            )
        if asked_for.against is not None:
            return self._place(asked, asked_for.against)
        n = len(asked.ranking.items)
        if n < 2:
            return None
        return place + 1 if place + 1 < n else place - 1

    def _told(self, one: Explanation, asked_for: ExplainRequest) -> Explanation:
        """With a sentence in the language that was asked for, which also knows objectives."""
        rated = rating_levels(self._model.vocabulary.events) is not None
        says = rating_sentence if rated else sentence
        return one.model_copy(update={"sentence": says(one.parts, asked_for.language)})

    def _race(self, request: RecommendRequest, asked: Asked) -> Race:
        question, n_items = asked.question, self._catalogue.n_items
        allowed = np.ones(n_items, np.bool_) if asked.allowed is None else asked.allowed.copy()
        known = self._model.vocabulary.item_idx
        gone = [known[item_id] for item_id in request.blocked if item_id in known]
        gone += question.disliked + (question.history.tolist() if request.exclude_seen else [])
        allowed[gone] = False
        taken = list(asked.scored.taken.values())
        beside: NDArray[np.float32] | None = np.add.reduce(taken) if taken else None
        pool = asked.scored.pool
        if pool.rows is not None:  # who was no candidate for the answer is none for its like
            allowed &= np.isin(np.arange(n_items), pool.rows, assume_unique=True)
            if beside is not None:
                everywhere = np.zeros(n_items, np.float32)
                everywhere[pool.rows] = beside
                beside = everywhere
        order: Callable[[Queries], Sequence[int]] | None = None
        if not self._recommender.ranker.is_short(request):
            order = self._order(request, asked, beside)
        return Race(
            self._model, self._recommender.rescorer, question.queries, allowed, request.k,
            beside, order, question.of_last,
        )  # fmt: skip

    def _order(
        self, request: RecommendRequest, asked: Asked, beside: NDArray[np.float32] | None
    ) -> Callable[[Queries], list[int]]:
        """What the answer is made by, on a shortened query, and some places more."""
        pool = asked.scored.pool
        longer = request.model_copy(update={"k": min(MAX_K, request.k + LOOKED)})

        def order(queries: Queries) -> list[int]:
            relevance = self._recommender.scorer.relevance(queries, pool)
            relevance = relevance if beside is None else relevance + pool.take(beside)
            question = replace(asked.question, queries=queries)
            rank = self._recommender.ranker.rank
            drawn = asked.ranking.drawn
            ranking = rank(longer, question, relevance, asked.allowed, drawn, pool)
            return [one.item_idx for one in ranking.items]

        return order

    def _counterfactual(
        self, found: search.Counterfactual, asked: Asked, asked_for: ExplainRequest
    ) -> Counterfactual:
        k, language = asked_for.request.k, asked_for.language
        if found.kind == "context":
            says = unknown_sentence(found.field, found.rank, k, language)
            names = labels = [found.field]
        else:
            items = [int(asked.question.queries.items[0, place]) for place in found.places[::-1]]
            names = [self._model.vocabulary.item_ids[item] for item in items]
            labels = self._catalogue.titles(items)
            says = without_sentence(labels, found.rank, k, language, is_smallest=found.is_smallest)
        return Counterfactual(
            kind=found.kind,
            names=names,
            labels=labels,
            rank=found.rank,
            is_smallest=found.is_smallest,
            sentence=says,
        )

    def _contrast(
        self,
        told: list[Explanation],
        titles: list[str],
        asked: Asked,
        places: tuple[int, int],
        asked_for: ExplainRequest,
    ) -> Contrast:
        """Of the items at two places, from 0: the one that is explained and another."""
        place, other = places
        parts = differences(told[0].parts, told[1].parts)
        upper, lower = (0, 1) if place < other else (1, 0)
        gaps = differences(told[upper].parts, told[lower].parts)
        says = contrast_sentence(titles[upper], titles[lower], gaps, asked_for.language)
        return Contrast(
            item_id=self._model.vocabulary.item_ids[asked.ranking.items[other].item_idx],
            title=titles[1],
            rank=other + 1,
            gap=told[0].score - told[1].score,
            parts=_labelled(parts, asked_for.language),
            sentence=says,
        )

    def _similar(
        self, item: int, request: RecommendRequest, question: Question, language: Language
    ) -> SimilarUsers | None:
        history = question.queries.items[0][whole(question.queries).steps]
        found: Group | None = similar_users(
            self._catalogue.histories(MAX_USERS), history, item, request.user_id,
            self._catalogue.hides,
        )  # fmt: skip
        if found is None:
            return None
        says = similar_sentence(found.n, found.common, found.chose, language)
        return SimilarUsers(n=found.n, common=found.common, chose=found.chose, sentence=says)


def _labelled(parts: Sequence[Part], language: Language) -> list[Part]:
    """With labels in that language; sentences are made before."""
    return [part.model_copy(update={"label": part_label(part, language)}) for part in parts]
