"""The fusion of signals."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from crossrec.models.fusion import FEATURES, Fusion, query_features, standardise
from tests.models.test_signals import ask

F = len(FEATURES)
LOG2 = np.float32(np.log(2))


def fusion(cold: list[float]) -> Fusion:
    """Two signals of gain softplus(0) = log 2; cold items get 3 points."""
    return Fusion(
        ["a", "b"],
        np.zeros((2, F), np.float32),
        np.zeros(2, np.float32),
        np.array([0, 1], np.float32),
        np.array([3, 0, 0, 0, 0], np.float32),
        np.zeros(len(cold), np.float32),
        np.array(cold, np.float32),
        clock=True,
    )


def test_z_scores_have_mean_zero_and_deviation_one_and_a_constant_row_is_silent() -> None:
    z = standardise(np.array([[1, 2, 3], [5, 5, 5]], np.float32))
    np.testing.assert_allclose(z[0], np.array([-1, 0, 1]) / np.sqrt(2 / 3), atol=1e-6)
    assert z[1].tolist() == [0, 0, 0]


def test_rounding_of_a_constant_row_is_no_evidence() -> None:
    assert not standardise(np.array([[1.6e-9, -8e-10, -8e-10]], np.float32)).any()
    assert not standardise(np.full((1, 49), np.log(7), np.float32)).any()  # whose mean is rounded


def test_parts_are_gains_times_z_scores() -> None:
    signals = {"a": np.array([[0, 2]], np.float32), "b": np.array([[2, 0]], np.float32)}
    parts = fusion([0, 0]).parts(ask([[0]]), signals)
    np.testing.assert_allclose(parts["a"], [[-LOG2, LOG2]], atol=1e-6)
    np.testing.assert_allclose(parts["b"], [[LOG2, -LOG2]], atol=1e-6)
    assert set(parts) == {"a", "b"}


def test_a_cold_item_gets_its_own_gain_and_the_newness_part() -> None:
    signals = {"a": np.array([[0, 2]], np.float32), "b": np.array([[2, 0]], np.float32)}
    parts = fusion([0, 1]).parts(ask([[0]]), signals)
    np.testing.assert_allclose(parts["b"], [[LOG2, -LOG2 * np.e]], rtol=1e-5)
    np.testing.assert_allclose(parts["newness"], [[0, 3]])


def test_features_say_how_much_is_known() -> None:
    queries = ask([[0, 1, 2], []], np.array([[0, 0], [1, 0]], np.float32))
    features = query_features(queries, clock=False)
    np.testing.assert_allclose(features[:, 0], 1)
    np.testing.assert_allclose(features[:, 1], [np.log(4) / 4, 0], atol=1e-6)
    assert features[:, 2:].tolist() == [[0, 0, 0], [1, 1, 0]]


@given(arrays(np.float32, (2, 5), elements=st.floats(-100, 100, width=32)))
def test_scale_and_shift_of_a_signal_do_not_matter(scores: np.ndarray) -> None:
    moved = standardise(3 * scores + 7)
    kept = scores.std(axis=1) > 1e-3  # below, rounding decides
    np.testing.assert_allclose(moved[kept], standardise(scores)[kept], atol=1e-2)


def test_what_is_stored_brings_it_back() -> None:
    original = fusion([0, 1])
    again = Fusion.restore(original.arrays(), {"names": ["a", "b"], "clock": True})
    signals = {"a": np.array([[0, 2]], np.float32), "b": np.array([[2, 0]], np.float32)}
    for name, part in original.parts(ask([[0]]), signals).items():
        np.testing.assert_array_equal(again.parts(ask([[0]]), signals)[name], part)
