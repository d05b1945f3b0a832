"""Whether requests still are what the release was made for: their words, and how sure answers are.

Counted per answer, judged by the alert rules: words that no item's text has, and in which tenth of
the release's own best scores an answer's best score falls (the population stability index of the
ten shares against a tenth each is the usual figure). Leaves to others: keeping counts (metrics.py).
"""

from __future__ import annotations

import asyncio
import re

import numpy as np
from numpy.typing import NDArray

from crossrec.serving.messages import RecommendRequest, RecommendResponse
from crossrec.serving.metrics import Metrics
from crossrec.serving.recommender import Recommender

N_REFERENCE_USERS = 100
PAUSE_S = 0.01
"""Between two reference users: requests go first."""
MAX_WORDS = 32
"""Words of a request that are looked up."""
KEPT_WORDS = 4096
TENTHS = np.arange(0.1, 1.0, 0.1)


class Drift:
    """Counts what requests of one domain are like, release after release."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._version = ""
        self._known_words: dict[str, bool] = {}
        self._bounds: NDArray[np.float64] | None = None
        self._learning: asyncio.Task[None] | None = None

    def answered(
        self, recommender: Recommender, request: RecommendRequest, response: RecommendResponse
    ) -> None:
        """Count one answer."""
        self._expect_release(recommender)
        known = "yes" if response.user_known else "no"
        self._metrics.add("crossrec_answers", user_known=known)
        if request.text:
            self._count_words(recommender, request.text)
        if _is_plain(request, response) and self._bounds is not None:
            tenth = 1 + int(np.searchsorted(self._bounds, _best(response)))
            self._metrics.add("crossrec_top_score", tenth=str(tenth))

    def _count_words(self, recommender: Recommender, text: str) -> None:
        words = re.findall(r"[^\W\d_]{3,}", text.lower())
        self._metrics.observe("crossrec_request_words", len(words))
        for word in words[:MAX_WORDS]:
            known = self._known_words.get(word)
            if known is None:
                if len(self._known_words) >= KEPT_WORDS:
                    self._known_words.clear()
                known = self._known_words[word] = recommender.catalogue.has_word(word)
            self._metrics.add("crossrec_words", known="yes" if known else "no")

    def _expect_release(self, recommender: Recommender) -> None:
        """A new release has other words and other scores."""
        version = recommender.loaded.release.version
        if version == self._version:
            return
        self._version, self._known_words, self._bounds = version, {}, None
        if self._learning is not None:
            self._learning.cancel()
        self._learning = asyncio.create_task(self._learn(recommender))

    async def _learn(self, recommender: Recommender) -> None:
        """The tenths of the best scores of some of the release's own users."""
        best = []
        for user_id, _ in recommender.catalogue.histories(N_REFERENCE_USERS):
            request = RecommendRequest(user_id=user_id, k=1)
            response = await recommender.recommend(request)
            if _is_plain(request, response):
                best.append(_best(response))
            await asyncio.sleep(PAUSE_S)
        if len(best) >= len(TENTHS) + 1:
            self._bounds = np.quantile(best, TENTHS)
            for tenth in range(1, len(TENTHS) + 2):  # an empty tenth is a figure too
                self._metrics.add("crossrec_top_score", 0.0, tenth=str(tenth))


def _is_plain(request: RecommendRequest, response: RecommendResponse) -> bool:
    """A stored user asked for by id alone: what the reference is of."""
    plain = not (request.text or request.context or request.history or request.where)
    return plain and not request.filters and response.user_known and bool(response.items)


def _best(response: RecommendResponse) -> float:
    return sum(response.items[0].signals.values())
