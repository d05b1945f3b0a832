"""Which items of a large catalogue a request is answered from: what filters leave, or candidates.

Leaves to others: naming candidates (ranking/candidates.py), scoring and ranking (recommender.py).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from crossrec.explanation.rescoring import Rescorer
from crossrec.ranking.candidates import Candidates, ItemSearch
from crossrec.ranking.pool import WHOLE, Pool
from crossrec.releases.store import LoadedRelease
from crossrec.serving.messages import RecommendRequest
from crossrec.serving.questions import Question
from crossrec.serving.ranker import Ranker

Bools = NDArray[np.bool_]


class Finder:
    """Finds for one release."""

    def __init__(
        self, loaded: LoadedRelease, search: ItemSearch, rescorer: Rescorer, ranker: Ranker
    ) -> None:
        self._few = search.config.exact_up_to
        self._candidates = Candidates(loaded.model, search, rescorer)
        self._ranker = ranker

    def pool(self, question: Question, request: RecommendRequest, allowed: Bools | None) -> Pool:
        """The items to score, those that are pinned among them.

        All that filters leave where these are few; all items where an index could not say which.

        Raises:
            RequestError: a pin that cannot be.
        """
        pinned = list(self._ranker.pins(request, []).values())
        if allowed is not None and self._are_few(allowed):
            rows = np.flatnonzero(allowed)
        elif self._candidates.fits(question.queries):
            rows = self._candidates.named(question.queries, allowed)
        else:
            return WHOLE
        return Pool(np.union1d(rows, np.array(pinned, np.int64)))

    def is_partial(self, pool: Pool, allowed: Bools | None) -> bool:
        """Whether there may be items, that filters leave, beside those of a pool."""
        return pool.rows is not None and (allowed is None or not self._are_few(allowed))

    def _are_few(self, allowed: Bools) -> bool:
        return int(np.count_nonzero(allowed)) <= self._few
