"""The deletion test of a whole release."""

from __future__ import annotations

from crossrec.data.split import split_sequences
from crossrec.explanation.faithfulness import deletion_test
from tests.small_release import WIDTH, SmallDomain


def test_reasons_are_better_than_random_orders(films: SmallDomain) -> None:
    # No luck: each film adds to a score by itself, the newest most, and the reasons say how much.
    split = split_sequences(films.sequences, "leave_one_out")
    found = deletion_test(films.model, split, 12, WIDTH)
    assert found is not None
    assert found["n"] <= 12
    low, high = found["ci95"]
    assert 0 < low <= found["ratio"] <= high < 1
    assert found == deletion_test(films.model, split, 12, WIDTH)
