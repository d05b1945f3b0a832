"""Signals of relevance, worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from crossrec.models.neighbour_signals import NeighbourSignal, recency_weights
from crossrec.models.query import Queries
from crossrec.models.signals import SIGNALS, PopularitySignal
from crossrec.models.text_signals import RequestSignal, TextSignal, unit


def ask(histories: list[list[int]], request: np.ndarray | None = None) -> Queries:
    steps = max(1, *(len(h) for h in histories))
    items = np.full((len(histories), steps), -1, np.int32)
    for row, history in enumerate(histories):
        items[row, steps - len(history) :] = history
    return Queries(
        items=items,
        times=np.zeros(items.shape, np.int64),
        events=np.zeros(items.shape, np.int16),
        now=np.zeros(len(items), np.int64),
        request=np.zeros((len(items), 2), np.float32) if request is None else request,
    )


def neighbours(decay: float) -> NeighbourSignal:
    """W = [[0, 1, 2], [3, 0, 0], [0, 0, 0]]."""
    return NeighbourSignal(
        np.array([0, 2, 3, 3]),
        np.array([1, 2, 0], np.int32),
        np.array([1, 2, 3], np.float16),
        decay,
    )


def test_rows_of_the_history_add_up_with_recency() -> None:
    scores = neighbours(0.5).score(ask([[0, 1], [1, 0], [2], []]))
    np.testing.assert_allclose(scores, [[3, 0.5, 1], [1.5, 1, 2], [0, 0, 0], [0, 0, 0]], atol=1e-6)


def test_the_newest_step_weighs_one_and_padding_nothing() -> None:
    present = np.array([[False, True, True]])
    np.testing.assert_allclose(recency_weights(present, 0.5), [[0, 0.5, 1]])


def test_text_compares_with_the_weighted_mean_of_the_history() -> None:
    vectors = np.array([[1, 0], [0, 1], [-1, 0]], np.float32)
    scores = TextSignal(vectors, 0.5, np.zeros((2, 0), np.float32)).score(ask([[0], [0, 1], []]))
    np.testing.assert_allclose(scores[0], [1, 0, -1], atol=1e-6)
    np.testing.assert_allclose(scores[1], np.array([0.5, 1, -0.5]) / np.sqrt(1.25), atol=1e-6)
    assert not scores[2].any()


def test_text_in_another_metric_is_the_cosine_of_transformed_texts() -> None:
    rng = np.random.default_rng(0)
    vectors = unit(rng.normal(size=(6, 4)).astype(np.float32))
    axes, _ = np.linalg.qr(rng.normal(size=(4, 2)))
    scale = np.array([0.2, 0.7])  # of the two axes; the others keep their length
    metric = np.eye(4) + axes @ np.diag(scale - 1) @ axes.T
    common = (axes * np.sqrt(1 - scale**2)).astype(np.float32)
    scores = TextSignal(vectors, 0.5, common).score(ask([[0, 1]]))
    own = unit((vectors @ metric).astype(np.float32))
    np.testing.assert_allclose(scores[0], unit(0.5 * own[:1] + own[1:2])[0] @ own.T, atol=1e-5)


def test_a_request_is_compared_less_the_mean_text_and_silence_says_nothing() -> None:
    signal = RequestSignal(np.array([[1, 0], [0, 1]], np.float32), np.array([0, 1], np.float32))
    scores = signal.score(ask([[], []], np.array([[1, 1], [0, 0]], np.float32)))
    np.testing.assert_allclose(scores, [[1, 0], [0, 0]], atol=1e-6)


def test_popularity_is_the_same_for_everybody() -> None:
    scores = PopularitySignal(np.array([3, 1], np.float32)).score(ask([[0], []]))
    assert scores.tolist() == [[3, 1], [3, 1]]


@pytest.mark.parametrize(
    "signal",
    [
        neighbours(0.5),
        TextSignal(
            unit(np.random.default_rng(0).normal(size=(3, 2)).astype(np.float32)),
            0.5,
            np.array([[0.6], [0.8]], np.float32) * np.float32(0.9),
        ),
        PopularitySignal(np.array([1, 2, 3], np.float32)),
    ],
)
def test_what_is_stored_brings_a_signal_back(signal: NeighbourSignal) -> None:
    again = type(signal).restore(signal.arrays(), signal.settings())
    queries = ask([[0, 1], [2], []])
    np.testing.assert_allclose(again.score(queries), signal.score(queries), atol=1e-3)


def test_every_signal_has_a_name_of_its_own() -> None:
    assert len({signal.name for signal in SIGNALS}) == len(SIGNALS)
