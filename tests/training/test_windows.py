"""Windows of training rows, and their batches."""

from __future__ import annotations

import numpy as np

from crossrec.data.split import Cases, Sequences, Split
from crossrec.models.context import ContextEncoder
from crossrec.training.windows import describe_rows, make_batches, make_windows

NO_CASES = Cases(np.zeros(0, np.int64), np.zeros(0, np.int64))


def split_of(lengths: list[int], left_out: list[int] | None = None) -> Split:
    n = sum(lengths)
    train = np.ones(n, bool)
    train[left_out or []] = False
    sequences = Sequences(
        user_ids=[f"u{u}" for u in range(len(lengths))],
        item_ids=["a", "b"],
        offsets=np.concatenate([[0], np.cumsum(lengths)]),
        items=np.zeros(n, np.int32),
        times=np.arange(n) * 3600,
        events=np.zeros(n, np.int16),
        event_names=["view"],
        ratings=np.full(n, np.nan, np.float32),
    )
    return Split("leave_one_out", sequences, train, NO_CASES, NO_CASES, np.ones(2, bool))


def test_every_training_row_is_in_exactly_one_window_of_its_own_user() -> None:
    split = split_of([3, 12, 1, 5], left_out=[2, 14, 15, 20])
    windows = make_windows(split, 4, np.random.default_rng(0))
    rows = np.concatenate(windows)
    assert sorted(rows) == np.flatnonzero(split.train).tolist()
    users = np.searchsorted(split.sequences.offsets, rows, side="right") - 1
    sizes = [len(window) for window in windows]
    for window, of in zip(windows, np.split(users, np.cumsum(sizes)[:-1]), strict=True):
        assert len(window) <= 4
        assert len(set(of)) == 1


def test_long_sequences_are_cut_elsewhere_in_another_epoch() -> None:
    split = split_of([40])
    cuts = {
        tuple(window[0] for window in make_windows(split, 10, np.random.default_rng(seed)))
        for seed in range(8)
    }
    assert len(cuts) > 1


def test_batches_hold_all_windows_padded_on_the_left() -> None:
    split = split_of([3, 12, 1, 5])
    windows = make_windows(split, 4, np.random.default_rng(0))
    seen: list[int] = []
    for targets, real in make_batches(windows, 2, np.random.default_rng(0)):
        assert len(targets) <= 2
        assert real[:, -1].all()
        assert (np.diff(real.astype(int), axis=1) >= 0).all()
        seen += targets[real].tolist()
    assert sorted(seen) == list(range(21))


def test_the_row_before_skips_what_is_not_training_and_ends_at_the_user() -> None:
    split = split_of([4, 2], left_out=[1])
    rows = describe_rows(split, ContextEncoder([], {}), clock=True)
    assert rows.previous[[0, 2, 3, 4, 5]].tolist() == [-1, 0, 2, -1, 4]
    assert rows.gaps[[0, 2, 3]].tolist() == [0, 3, 2]  # two hours, one hour
    assert rows.context.shape == (6, 0)
