"""The deletion test of a whole release."""

from __future__ import annotations

import numpy as np

from crossrec.data.split import split_sequences
from crossrec.explanation.faithfulness import deletion_test
from tests.small_release import WIDTH, SmallDomain


def test_reasons_are_better_than_random_orders_or_say_nothing(films: SmallDomain) -> None:
    split = split_sequences(films.sequences, "leave_one_out")
    found = deletion_test(films.model, split, 12, WIDTH)
    assert found is not None
    assert found["n"] <= 12
    assert found["ci95"][0] <= found["ratio"] <= found["ci95"][1]
    assert np.isfinite(found["ratio"])
    assert found == deletion_test(films.model, split, 12, WIDTH)
