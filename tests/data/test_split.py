"""Splits: worked by hand on a few users, and equal to the published lists on every real domain."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossrec.data.dataset import Dataset
from crossrec.data.importing import import_domain
from crossrec.data.sequences import load_sequences, sequences_from
from crossrec.data.split import (
    Sequences,
    draw_users,
    expect_cases,
    fingerprint,
    make_split,
    split_sequences,
    unused_split,
)
from crossrec.domains.registry import load_domain
from crossrec.domains.spec import ContextField, Domain
from crossrec.errors import DataError

DOMAIN = Domain(name="tiny", title="Tiny")
ITEMS = pl.DataFrame({"item_id": list("abcdefghij")})


def sequences(
    rows: list[tuple[str, str, int]], domain: Domain = DOMAIN, min_interactions: int = 3
) -> Sequences:
    """Sequences of (user, item, time) rows in the order of a table."""
    schema = ["user_id", "item_id", "timestamp"]
    frame = pl.LazyFrame(rows, schema, orient="row")
    return sequences_from(ITEMS, frame, domain, min_interactions)


def ids(whole: Sequences, rows: slice) -> str:
    return "".join(whole.item_ids[i] for i in whole.items[rows])


def visits(user: str, items: str, start: int = 0) -> list[tuple[str, str, int]]:
    return [(user, item, start + n) for n, item in enumerate(items)]


def shuffled_visits(n_users: int) -> list[tuple[str, str, int]]:
    """Users who visit eight of the ten items, each in another order."""
    rng = np.random.default_rng(0)
    orders = [rng.permutation(list("abcdefghij"))[:8] for _ in range(n_users)]
    return [row for u, items in enumerate(orders) for row in visits(f"u{u}", "".join(items))]


def test_rows_are_ordered_by_time_and_ties_keep_the_order_of_the_table() -> None:
    got = sequences([("u", "c", 5), ("u", "b", 1), ("u", "a", 1)])
    assert ids(got, got.rows(0)) == "bac"


def test_users_are_ordered_as_strings() -> None:
    got = sequences([*visits("10", "abc"), *visits("9", "abc"), *visits("Ä", "abc")])
    assert got.user_ids == ["10", "9", "Ä"]


def test_only_the_first_interaction_with_an_item_stays() -> None:
    got = sequences([("u", "a", 0), ("u", "b", 1), ("u", "a", 2), ("u", "c", 3)])
    assert ids(got, got.rows(0)) == "abc"
    assert got.times.tolist() == [0, 1, 3]


def test_the_event_of_a_step_is_the_last_before_another_item() -> None:
    rows = [("u", item, time, event) for time, (item, event) in enumerate(
        [("a", "browse"), ("a", "cheaper"), ("b", "browse"), ("a", "nicer"), ("c", "browse"),
         ("c", "closer")]
    )] + [("v", "c", 9, "nicer"), ("v", "a", 10, "browse"), ("v", "b", 11, "browse")]  # fmt: skip
    interactions = pl.DataFrame(
        rows, schema=["user_id", "item_id", "timestamp", "event"], orient="row"
    )
    got = sequences_from(ITEMS, interactions.lazy(), DOMAIN)
    assert ids(got, got.rows(0)) == "abc"
    assert [got.event_names[code] for code in got.events] == [
        "cheaper", "browse", "closer", "nicer", "browse", "browse",
    ]  # fmt: skip
    assert got.times.tolist()[:3] == [0, 2, 4]  # the moments are those of the first


def test_users_with_fewer_than_three_items_are_left_out() -> None:
    got = sequences([*visits("one", "a"), *visits("two", "ab"), *visits("three", "abc")])
    assert got.user_ids == ["three"]
    assert got.offsets.tolist() == [0, 3]


def test_rows_of_items_outside_the_catalogue_are_left_out() -> None:
    got = sequences([*visits("u", "abc"), ("u", "unheard of", 9)])
    assert ids(got, got.rows(0)) == "abc"


def test_without_anybody_with_three_interactions_nothing_is_learned_and_judging_says_so() -> None:
    assert not sequences(visits("u", "ab")).n_users
    split = unused_split(sequences(visits("u", "ab"), min_interactions=1), "leave_one_out")
    assert (split.sequences.n_users, len(split.validation), len(split.test)) == (1, 0, 0)
    assert not split.train.any()
    assert not split.warm.any()
    with pytest.raises(DataError, match="no user of 'tiny' has 3 interactions"):
        expect_cases(split, "tiny")


def test_dropped_events_are_no_interactions_and_missing_events_are() -> None:
    frame = pl.LazyFrame(
        {
            "user_id": ["u"] * 5,
            "item_id": list("abcde"),
            "timestamp": range(5),
            "event": ["click", "impression", None, "click", "click"],
        }
    )
    got = sequences_from(ITEMS, frame, Domain(name="n", title="N", dropped_events=["impression"]))
    assert ids(got, got.rows(0)) == "acde"
    assert [got.event_names[e] for e in got.events] == ["click", "interaction", "click", "click"]


def test_leave_one_out_holds_out_the_last_two() -> None:
    split = split_sequences(sequences([*visits("u", "abcd"), *visits("v", "cba")]), "leave_one_out")
    assert split.train.tolist() == [True, True, False, False, True, False, False]
    assert split.validation.cuts.tolist() == [2, 1]
    assert split.test.cuts.tolist() == [3, 2]
    assert split.targets(split.test).tolist() == [3, 0]  # d of u, a of v
    assert np.flatnonzero(split.warm).tolist() == [0, 1, 2]  # a, b of u; c of v


def test_temporal_cuts_by_the_clock() -> None:
    # Times 0..9 once each: t80 = T[8] = 8, t90 = T[9] = 9.
    rows = [("u", "a", 0), ("u", "b", 3), ("u", "c", 8), ("u", "d", 9)]
    rows += [("v", "a", 1), ("v", "b", 2), ("v", "c", 4)]
    rows += [("w", "a", 5), ("w", "b", 6), ("w", "c", 7)]
    split = split_sequences(sequences(rows), "temporal")
    assert split.sequences.times[split.train].max() < 8
    assert (split.validation.users.tolist(), split.validation.cuts.tolist()) == ([0], [2])
    assert (split.test.users.tolist(), split.test.cuts.tolist()) == ([0], [3])


def test_temporal_leaves_out_users_without_training_interactions() -> None:
    rows = [*visits("old", "abcdefg"), *visits("new", "abc", start=100)]
    split = split_sequences(
        sequences([*rows, *visits("both", "a", 1), *visits("both", "bc", 200)]), "temporal"
    )
    assert [split.sequences.user_ids[u] for u in split.test.users] == ["both"]


def test_items_withheld_for_test_are_in_no_training_row_and_no_validation_target() -> None:
    split = split_sequences(sequences(shuffled_visits(40)), "cold_items", seed=1)
    test, validation = split.targets(split.test), split.targets(split.validation)
    assert len(set(test)) == 1  # 10 % of 10 items
    assert not set(test) & set(validation)
    assert not split.warm[test].any()
    assert not np.isin(split.sequences.items[split.train], test).any()
    assert (split.test.cuts > 0).all()


def test_validation_of_cold_items_holds_warm_and_cold_targets_out_of_training() -> None:
    split = split_sequences(sequences(shuffled_visits(400)), "cold_items", seed=3)
    warm = split.warm[split.targets(split.validation)]
    assert 0 < (~warm).sum() < warm.sum()
    rows = split.sequences.target_rows(split.validation)
    assert not split.train[rows].any()


def test_items_withheld_for_test_are_late_and_those_of_validation_are_not() -> None:
    split = split_sequences(sequences(shuffled_visits(400)), "cold_items", seed=3)
    assert split.late is not None
    assert split.late[split.targets(split.test)].all()
    assert not split.late[split.targets(split.validation)].any()
    assert not (split.late & split.warm).any()


def test_nothing_after_the_test_target_of_cold_items_is_training() -> None:
    whole = sequences(shuffled_visits(400))
    split = split_sequences(whole, "cold_items", seed=3)
    later = 0
    for user, target in zip(split.test.users, whole.target_rows(split.test), strict=True):
        rows = np.arange(target + 1, whole.offsets[user + 1])
        later += len(rows)
        assert not split.train[rows].any()
    assert later > len(split.test)  # there was something to leave out
    others = ~np.isin(np.arange(whole.n_users), split.test.users)
    assert split.train[np.repeat(others, np.diff(whole.offsets))].any()


def test_cold_items_differ_by_seed_and_do_not_by_run() -> None:
    whole = sequences(shuffled_visits(20))
    cold = [
        np.flatnonzero(~split_sequences(whole, "cold_items", seed=seed).warm).tolist()
        for seed in (0, 0, 1, 2, 3)
    ]
    assert cold[0] == cold[1]
    assert len({tuple(c) for c in cold}) > 1


def test_drawn_users_keep_their_rows_and_the_whole_catalogue() -> None:
    whole = sequences([row for u in range(9) for row in visits(f"u{u}", "abcde"[u % 3 :])])
    part = draw_users(whole, 4, seed=3)
    again = draw_users(whole, 4, seed=3)
    assert part.user_ids == again.user_ids == sorted(part.user_ids)
    assert part.item_ids == whole.item_ids
    for user, user_id in enumerate(part.user_ids):
        before = whole.rows(whole.user_ids.index(user_id))
        assert ids(part, part.rows(user)) == ids(whole, before)


def test_the_fingerprint_is_the_hash_of_sorted_user_and_target_lines() -> None:
    split = split_sequences(sequences([*visits("v", "abc"), *visits("u", "abd")]), "leave_one_out")
    # printf 'u\td\nv\tc' | sha256sum
    expected = "9b617b807a3c2bd8f44730e9681adbf1aae2c8b63666037377d2a640f7eeea26"
    assert fingerprint(split, split.test) == expected


def test_an_unknown_protocol_names_the_near_one() -> None:
    with pytest.raises(DataError, match="did you mean 'leave_one_out'"):
        split_sequences(sequences(visits("u", "abc")), "leave_one_ot")


def test_a_protocol_without_cases_is_an_error_with_the_counts() -> None:
    rows = [("u", "a", 0), ("u", "b", 0), ("u", "c", 0)]  # one moment: nothing before t80
    with pytest.raises(DataError, match="leaves 0 training rows and 0 test cases of 1 users"):
        split_sequences(sequences(rows), "temporal")


CONTEXT = Domain(
    name="c",
    title="C",
    context=[
        ContextField(name="weather", kind="category"),
        ContextField(name="temperature", kind="number"),
        ContextField(name="hour", kind="cycle", period=24, derive="hour"),
        ContextField(name="weekday", kind="cycle", period=7, derive="weekday"),
        ContextField(name="month", kind="category", derive="month"),
        ContextField(name="at", kind="place", columns=["y", "x"], item_columns=["y", "x"]),
    ],
)


def test_context_columns_become_arrays_with_nan_where_missing() -> None:
    frame = pl.LazyFrame(
        {
            "user_id": ["u"] * 3,
            "item_id": list("abc"),
            # Thursday 1970-01-01 00:00, Thursday 13:00, Monday 1970-01-05 00:00
            "timestamp": [0, 13 * 3600, 4 * 86400],
            "weather": ["sun", None, "rain"],
            "temperature": [20.5, None, -3.0],
            "y": [50.0, 50.5, None],
            "x": [8.0, 8.5, None],
        }
    )
    got = sequences_from(ITEMS, frame, CONTEXT)
    assert got.context_values == {"weather": ["rain", "sun"], "month": ["1"]}
    np.testing.assert_array_equal(got.context["weather"], [1, np.nan, 0])
    np.testing.assert_array_equal(got.context["temperature"], np.float32([20.5, np.nan, -3]))
    np.testing.assert_array_equal(got.context["hour"], [0, 13, 0])
    np.testing.assert_array_equal(got.context["weekday"], [3, 3, 0])
    np.testing.assert_array_equal(got.context["at"], [[50, 8], [50.5, 8.5], [np.nan, np.nan]])
    assert all(values.dtype == np.float32 for values in got.context.values())


def test_a_missing_context_column_is_named_with_near_matches() -> None:
    frame = pl.LazyFrame({"user_id": ["u"], "item_id": ["a"], "timestamp": [0], "wether": ["sun"]})
    with pytest.raises(DataError, match=r"column 'weather'.*did you mean 'wether'"):
        sequences_from(ITEMS, frame, CONTEXT)


def _dataset(folder: Path, **domain: str) -> Dataset:
    return Dataset(folder, Domain(name="d", title="D", **domain), "0" * 64, {})  # type: ignore[arg-type]


def _write_six_users(folder: Path) -> None:
    ITEMS.write_parquet(folder / "items.parquet")
    rows = [row for u in range(6) for row in visits(f"u{u}", "abcd")]
    frame = pl.DataFrame(rows, ["user_id", "item_id", "timestamp"], orient="row")
    frame.write_parquet(folder / "interactions.parquet")


def test_a_domain_without_interactions_and_requests_cannot_be_split(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="'d' has neither requests nor examples"):
        make_split(_dataset(tmp_path), "leave_one_out")
    with pytest.raises(DataError, match="'d' has no interactions"):
        load_sequences(_dataset(tmp_path))


@pytest.mark.parametrize("kind", ["none", "order_index_per_user"])
def test_temporal_needs_clock_time(tmp_path: Path, kind: str) -> None:
    _write_six_users(tmp_path)
    with pytest.raises(DataError, match=f"no clock time .time_kind {kind}.*use leave_one_out"):
        make_split(_dataset(tmp_path, time_kind=kind), "temporal")


def test_make_split_reads_an_imported_data_set(tmp_path: Path) -> None:
    _write_six_users(tmp_path)
    assert len(make_split(_dataset(tmp_path), "leave_one_out").test) == 6
    assert len(make_split(_dataset(tmp_path), "leave_one_out", max_users=2).test) == 2


@st.composite
def _tables(draw: st.DrawFn) -> list[tuple[str, str, int]]:
    return draw(
        st.lists(
            st.tuples(st.sampled_from("uvwx"), st.sampled_from("abcdefghij"), st.integers(0, 30)),
            min_size=12,
            max_size=60,
        )
    )


@settings(max_examples=60, deadline=None)
@given(_tables(), st.sampled_from(["leave_one_out", "temporal", "cold_items"]))
def test_no_target_is_in_its_history_nor_after_its_cut(
    rows: list[tuple[str, str, int]], protocol: str
) -> None:
    try:
        split = split_sequences(sequences(rows), protocol)
    except DataError:  # too little is left of a small random table
        return
    seqs = split.sequences
    for cases in (split.validation, split.test):
        for user, cut, target in zip(cases.users, cases.cuts, split.targets(cases), strict=True):
            history = seqs.items[seqs.rows(user)][:cut]
            assert target not in history
            assert len(history) >= 1
            row = int(seqs.offsets[user] + cut)
            assert not split.train[row]
            assert (seqs.times[seqs.rows(user)][:cut] <= seqs.times[row]).all()


@pytest.mark.mirror
def test_every_published_split_is_reproduced_from_imported_data(
    data_mirror: Path, peers_folder: Path, tmp_path: Path
) -> None:
    expected = json.loads((peers_folder / "splits" / "split_hashes.json").read_text())
    for name, facts in expected.items():
        dataset = import_domain(load_domain(name), root=tmp_path, progress=False)
        for protocol, parts in facts["splits"].items():
            split = make_split(dataset, protocol)
            assert len(split.sequences.items) == facts["n_interactions"], name
            assert fingerprint(split, split.validation) == parts["val"]["sha256"], (name, protocol)
            assert fingerprint(split, split.test) == parts["test"]["sha256"], (name, protocol)
            assert split.train.sum() == parts["n_train_interactions"], (name, protocol)
            assert split.warm.sum() == parts["n_warm_items"], (name, protocol)
