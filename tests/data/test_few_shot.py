"""Few-shot cuts: less to learn from, the same questions."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from crossrec.data.few_shot import few_shot
from crossrec.data.split import Sequences, Split, split_sequences
from crossrec.errors import ConfigError

N_USERS, N_STEPS = 40, 6


@pytest.fixture
def split() -> Split:
    rng = np.random.default_rng(0)
    rows = N_USERS * N_STEPS
    sequences = Sequences(
        user_ids=sorted(f"u{n}" for n in range(N_USERS)),
        item_ids=[f"i{n}" for n in range(30)],
        offsets=np.arange(0, rows + 1, N_STEPS),
        items=np.concatenate([rng.permutation(30)[:N_STEPS] for _ in range(N_USERS)]).astype(
            np.int32
        ),
        times=np.arange(rows),
        events=np.zeros(rows, np.int16),
        event_names=["watch"],
        ratings=np.full(rows, np.nan, np.float32),
    )
    return split_sequences(sequences, "leave_one_out")


def learned_from(split: Split) -> set[int]:
    rows = np.flatnonzero(split.train)
    return set((np.searchsorted(split.sequences.offsets, rows, side="right") - 1).tolist())


def test_a_share_of_the_users_is_learned_from_and_all_are_asked(split: Split):
    few = few_shot(split, 0.25, seed=0)
    assert len(learned_from(few)) == N_USERS // 4
    assert set(few.validation.users.tolist()) == learned_from(few)
    assert few.test is split.test
    assert (few.warm == np.isin(np.arange(30), few.sequences.items[few.train])).all()
    assert (few.train <= split.train).all()


def test_fewer_users_are_among_more(split: Split):
    shares = [learned_from(few_shot(split, share, seed=3)) for share in (0.01, 0.1, 0.5, 1.0)]
    assert len(shares[0]) == 1  # one user at least
    assert all(fewer <= more for fewer, more in pairwise(shares))
    assert shares[-1] == learned_from(split)
    assert learned_from(few_shot(split, 0.5, seed=4)) != shares[2]


def test_zero_shot_leaves_nothing_to_learn_from(split: Split):
    none = few_shot(split, 0, seed=0)
    assert not none.train.any()
    assert not none.warm.any()
    assert not len(none.validation)
    assert len(none.test) == N_USERS


@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan")])
def test_what_is_no_share_is_refused(split: Split, share: float):
    with pytest.raises(ConfigError, match="expected 0 to 1"):
        few_shot(split, share, seed=0)
