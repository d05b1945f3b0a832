"""What the benchmark of requests compares ours with."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from crossrec.data.split import Split
from crossrec.models.query import Queries
from crossrec.training.prepare import Prepared
from tests.benchmarks import words


def test_the_frozen_peer_reads_the_named_items_beside_the_words(rings: Split):
    text = np.eye(33, 40, dtype=np.float32)
    prepared = cast(Prepared, SimpleNamespace(split=rings, text=text))
    nothing = np.zeros((1, 2))
    queries = Queries(
        np.array([[3, 4]], np.int32),
        nothing.astype(np.int64),
        nothing.astype(np.int16),
        np.zeros(1, np.int64),
        text[20:21],
    )
    for _, score in words.frozen_with_named(prepared):
        assert set(np.argsort(-score(queries)[0])[:3]) == {3, 4, 20}


@pytest.mark.parametrize("known", [True, False])
def test_named_items_are_a_peer_where_there_is_a_history(
    known: bool, monkeypatch: pytest.MonkeyPatch
):
    value = {words.frozen: 0.1, words.bm25: 0.2, words.frozen_with_named: 0.3}

    def best_of(_: Any, family: words.Family) -> tuple[str, np.ndarray]:
        return family.__name__, np.array([value[family]])

    monkeypatch.setattr(words, "best_of", best_of)
    split = SimpleNamespace(test=SimpleNamespace(cuts=np.array([0, int(known)])))
    name, _ = words.best_peer(cast(Prepared, SimpleNamespace(split=split)))
    assert name == ("frozen_with_named" if known else "bm25")


def test_the_mean_says_what_it_is_without_the_domain_with_a_history():
    ratios = {"movie_requests": 8.0, "concierge": 1.0, "support": 4.0}
    rows = [{"domain": name, "ratio": ratio, "seeds": [0]} for name, ratio in ratios.items()]
    mean = words.mean_of(rows)
    assert mean["ratio"] == pytest.approx(32 ** (1 / 3))
    assert "without movie_requests" in mean["protocol"]
    assert mean["protocol"].endswith(" 2.00")
