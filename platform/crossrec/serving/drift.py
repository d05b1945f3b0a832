"""Whether requests still are what the release was made for: their words, and how sure answers are.

Counted per answer, judged by the alert rules: words that no item's text has, and in which tenth of
the release's own best scores an answer's best score falls (the population stability index of the
ten shares against a tenth each is the usual figure). Only answers that are made like the reference
have such a score: none of learned weights. Of unknown words a release expects as many as the text
of one of its items has when that item is looked away from. Leaves to others: keeping counts
(metrics.py).
"""

from __future__ import annotations

import asyncio
import re

import numpy as np
from numpy.typing import NDArray

from crossrec.ranking.weights import Weights
from crossrec.serving.logs import ASKED, NOBODY
from crossrec.serving.messages import RecommendRequest, RecommendResponse
from crossrec.serving.metrics import Metrics
from crossrec.serving.recommender import Recommender

N_REFERENCE_USERS = 100
N_REFERENCE_ITEMS = 100
PAUSE_S = 0.01
"""Between two reference users or items: requests go first."""
MAX_WORDS = 32
"""Words of a request that are looked up."""
KEPT_WORDS = 4096
MAX_RELEASES = 4
"""Releases that answer side by side; of more, those asked for first are forgotten."""
TENTHS = np.arange(0.1, 1.0, 0.1)


class _Reference:
    """What a release's own users and items are like."""

    def __init__(self, recommender: Recommender, metrics: Metrics) -> None:
        self._recommender, self._metrics = recommender, metrics
        self._words: dict[str, bool] = {}
        self.bounds: NDArray[np.float64] | None = None
        self.learning = asyncio.create_task(self._learn())

    def has_word(self, word: str) -> bool:
        """Whether the text of an item has it."""
        known = self._words.get(word)
        if known is None:
            if len(self._words) >= KEPT_WORDS:
                self._words.clear()
            known = self._words[word] = self._recommender.catalogue.has_word(word)
        return known

    async def _learn(self) -> None:
        ASKED.set(NOBODY)  # the task began within somebody's request
        await self._learn_words()
        await self._learn_scores()

    async def _learn_words(self) -> None:
        """The share of unknown words in texts of the release's items, each as if it were new."""
        catalogue, found = self._recommender.catalogue, []
        for item_idx in range(0, catalogue.n_items, -(-catalogue.n_items // N_REFERENCE_ITEMS)):
            text = catalogue.cards([item_idx], columns=[])[0].text
            looked_up = _words(text)[:MAX_WORDS]
            found += [catalogue.n_with_word(word, 2) < 2 for word in looked_up]
            await asyncio.sleep(PAUSE_S)
        if found:
            self._metrics.set("crossrec_expected_unknown_words", sum(found) / len(found))

    async def _learn_scores(self) -> None:
        """The tenths of the best scores of some of the release's own users."""
        best = []
        for user_id, _ in self._recommender.catalogue.histories(N_REFERENCE_USERS):
            # ranked as declared: what a learner has learned by now is not of the training
            asked = await self._recommender.ask(RecommendRequest(user_id=user_id, k=1))
            if asked.question.user_known and asked.ranking.items:
                first = asked.ranking.items[0].item_idx
                best.append(sum(asked.scored.at(first).values()))
            await asyncio.sleep(PAUSE_S)
        if len(best) > len(TENTHS):
            self.bounds = np.quantile(best, TENTHS)
            for tenth in range(1, len(TENTHS) + 2):  # an empty tenth is a figure too
                self._metrics.add("crossrec_top_score", 0.0, tenth=str(tenth))


class Drift:
    """Counts what requests of one domain are like, beside each release that answers them."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._references: dict[str, _Reference] = {}

    def answered(
        self, recommender: Recommender, request: RecommendRequest, response: RecommendResponse
    ) -> None:
        """Count one answer."""
        reference = self._reference(recommender)
        known = "yes" if response.user_known else "no"
        self._metrics.add("crossrec_answers", user_known=known)
        if request.text:
            self._count_words(reference, request.text)
        declared = recommender.ranker.objectives.weights
        if reference.bounds is not None and _is_plain(request, response, declared):
            tenth = 1 + int(np.searchsorted(reference.bounds, _best(response)))
            self._metrics.add("crossrec_top_score", tenth=str(tenth))

    def _count_words(self, reference: _Reference, text: str) -> None:
        words = _words(text)
        self._metrics.observe("crossrec_request_words", len(words))
        looked_up = words[:MAX_WORDS]
        n_known = sum(map(reference.has_word, looked_up))
        self._metrics.add("crossrec_words", n_known, known="yes")
        self._metrics.add("crossrec_words", len(looked_up) - n_known, known="no")

    def _reference(self, recommender: Recommender) -> _Reference:
        """That of the release; arms of an experiment have one each."""
        version = recommender.loaded.release.version
        found = self._references.get(version)
        if found is None:
            if len(self._references) >= MAX_RELEASES:
                oldest = self._references.pop(next(iter(self._references)))
                oldest.learning.cancel()
            found = self._references[version] = _Reference(recommender, self._metrics)
        return found


def _words(text: str) -> list[str]:
    """Those of three letters and more.

    >>> _words("An I.Q. of 130, Dr_Who!")
    ['who']
    """
    return re.findall(r"[^\W\d_]{3,}", text.lower())


def _is_plain(request: RecommendRequest, response: RecommendResponse, declared: Weights) -> bool:
    """A stored user asked for by id alone, ranked with the declared weights: what the reference is
    of. Other weights, learned ones too, put another item first; `at_most` leaves it first.
    """
    asks = request.text or request.context or request.history
    chooses = request.filters or request.where or request.pinned or request.blocked
    if asks or chooses or not request.exclude_seen:
        return False
    return response.user_known and bool(response.items) and response.weights == declared


def _best(response: RecommendResponse) -> float:
    return sum(response.items[0].signals.values())
