"""Folds by user and by time: what is tested was not trained on, and everybody has a turn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from crossrec.data.folds import fold_of, make_folds
from crossrec.data.split import Cases, Sequences, Split, split_sequences
from crossrec.errors import DataError

N_USERS, N_STEPS = 40, 10


@pytest.fixture
def split() -> Split:
    rng = np.random.default_rng(0)
    times = np.sort(rng.permutation(10_000)[: N_USERS * N_STEPS].reshape(N_USERS, N_STEPS))
    sequences = Sequences(
        user_ids=sorted(f"u{n}" for n in range(N_USERS)),
        item_ids=[f"i{n}" for n in range(30)],
        offsets=np.arange(0, N_USERS * N_STEPS + 1, N_STEPS),
        items=np.concatenate([rng.permutation(30)[:N_STEPS] for _ in range(N_USERS)]).astype(
            np.int32
        ),
        times=times.ravel(),
        events=np.zeros(N_USERS * N_STEPS, np.int16),
        event_names=["watch"],
        ratings=np.full(N_USERS * N_STEPS, np.nan, np.float32),
    )
    return split_sequences(sequences, "leave_one_out")


def users_of(split: Split) -> set[int]:
    rows = np.flatnonzero(split.train)
    return set((np.searchsorted(split.sequences.offsets, rows, side="right") - 1).tolist())


def test_by_user_everybody_is_tested_once_and_never_trained_on(split: Split) -> None:
    folds = make_folds(split, 4, "user")
    tested = np.concatenate([fold.test.users for fold in folds])
    assert sorted(tested.tolist()) == list(range(N_USERS))
    for fold in folds:
        test, validation = set(fold.test.users.tolist()), set(fold.validation.users.tolist())
        assert not test & validation
        assert users_of(fold) == set(range(N_USERS)) - test - validation
        assert (fold.test.cuts == N_STEPS - 1).all()
        assert (fold.warm == np.isin(np.arange(30), fold.sequences.items[fold.train])).all()


def test_a_user_stays_in_its_fold_whoever_else_is_there() -> None:
    assert [fold_of(f"u{n}", 3) for n in range(6)] == [fold_of(f"u{n}", 3) for n in range(6)]
    assert {fold_of(f"u{n}", 3) for n in range(60)} == {0, 1, 2}


def test_by_time_nothing_of_the_future_is_trained_on(split: Split) -> None:
    folds = make_folds(split, 3, "time")
    times, offsets = split.sequences.times, split.sequences.offsets
    ends = []
    for fold in folds:
        last_trained = times[fold.train].max()
        first_of = {
            part: times[offsets[cases.users] + cases.cuts]
            for part, cases in (("validation", fold.validation), ("test", fold.test))
        }
        assert first_of["validation"].min() > last_trained
        assert first_of["test"].min() > first_of["validation"].max()
        before = times[offsets[fold.test.users] + fold.test.cuts - 1]
        assert (before < first_of["test"].min()).all()
        ends.append(last_trained)
    assert ends == sorted(set(ends))
    assert 0.45 < folds[0].train.mean() < 0.55


def requests(split: Split, texts: list[str], per_user: int = 1) -> Split:
    """All rows are training, `per_user` of them a user."""
    n = len(texts)
    asked = replace(
        split.sequences,
        user_ids=[f"q{i:02}" for i in range(n // per_user)],
        offsets=np.arange(0, n + 1, per_user),
        items=split.sequences.items[:n],
        times=np.zeros(n, np.int64),
        events=np.zeros(n, np.int16),
        ratings=split.sequences.ratings[:n],
        requests=texts,
    )
    nobody = Cases(np.zeros(0, np.int64), np.zeros(0, np.int64))
    train = np.ones(n, np.bool_)
    return Split("requests", asked, train, nobody, nobody, split.warm)


def test_requests_are_cases_without_history(split: Split) -> None:
    folds = make_folds(requests(split, [f"words {i}" for i in range(50)]), 5, "user", clock=False)
    assert sum(len(fold.test) for fold in folds) == 50
    assert all((fold.test.cuts == 0).all() for fold in folds)


def test_equal_texts_are_not_trained_on_and_tested(split: Split) -> None:
    whole = requests(split, [f"words {i % 25}" for i in range(50)])
    said = np.array(whole.sequences.requests)
    for fold in make_folds(whole, 5, "user", clock=False):
        assert not set(said[fold.test.users]) & set(said[fold.train])


def test_in_dialogues_what_was_turned_down_is_neither_trained_on_nor_asked(split: Split) -> None:
    """Three rows a dialogue: named without words, suggested and taken, suggested and not taken."""
    whole = requests(split, ["", "yes", "no"] * 30, per_user=3)
    wanted = np.tile([True, True, False], 30)
    folds = make_folds(replace(whole, train=wanted), 4, "user", clock=False)
    assert sum(len(fold.test) for fold in folds) == 30
    for fold in folds:
        assert (fold.test.cuts == 1).all()
        assert not (fold.train & ~wanted).any()
        assert fold.train.sum() == 2 * (30 - len(fold.test) - len(fold.validation))


def test_what_cannot_be_cut_is_said(split: Split) -> None:
    with pytest.raises(DataError, match="got 1 folds"):
        make_folds(split, 1, "time")
    with pytest.raises(DataError, match="got 2 folds; expected at least 3 by user"):
        make_folds(split, 2, "user")
    with pytest.raises(DataError, match="no clock time"):
        make_folds(split, 3, "time", clock=False)
    with pytest.raises(DataError, match="no clock time"):
        make_folds(requests(split, ["words"] * 9), 3, "time")
    with pytest.raises(DataError, match="divides users into parts by itself"):
        make_folds(replace(split, protocol="profiles"), 3, "user")
    with pytest.raises(DataError, match="take fewer folds"):
        make_folds(split, 200, "user")
