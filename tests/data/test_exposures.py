"""What was shown and not taken: which choice it belongs to, and what is no exposure at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from crossrec.data.dataset import Dataset
from crossrec.data.exposures import shown_before, with_passed_over
from crossrec.data.importing import import_domain
from crossrec.data.requests import request_split
from crossrec.data.sequences import sequences_from
from crossrec.data.split import Sequences, make_split, split_sequences
from crossrec.domains import load_domain
from crossrec.domains.spec import Domain
from tests.data.test_requests import dataset, request

DOMAIN = Domain(name="shop", title="Shop", dropped_events=["impression"])
ITEMS = pl.DataFrame({"item_id": list("abcdefgh")})
Event = tuple[str, str, int, str]


def log(*events: Event) -> pl.LazyFrame:
    return pl.LazyFrame(events, ["user_id", "item_id", "timestamp", "event"], orient="row")


def clicks(user: str, items: str, every: int = 10) -> list[Event]:
    return [(user, item, every * n, "click") for n, item in enumerate(items)]


def shown(user: str, items: str, time: int) -> list[Event]:
    return [(user, item, time, "impression") for item in items]


def passed_over(*events: Event) -> tuple[Sequences, list[dict[str, int]]]:
    """Sequences, and of each row the items passed over with their counts."""
    found = sequences_from(ITEMS, log(*events), DOMAIN)
    counts = shown_before(log(*events), DOMAIN.dropped_events, found).toarray()
    ids = found.item_ids
    return found, [{ids[i]: int(row[i]) for i in np.flatnonzero(row)} for row in counts]


def test_an_item_shown_belongs_to_the_next_choice() -> None:
    _, rows = passed_over(*clicks("u", "abc"), *shown("u", "ef", 5), *shown("u", "e", 15))
    assert rows == [{}, {"e": 1, "f": 1}, {"e": 1}]


def test_of_choices_at_the_same_time_the_last_one_is_meant() -> None:
    events = [("u", "a", 0, "click"), ("u", "b", 7, "click"), ("u", "c", 7, "click")]
    _, rows = passed_over(*events, *shown("u", "e", 7))
    assert rows == [{}, {}, {"e": 1}]


def test_what_was_shown_after_the_last_choice_belongs_to_none() -> None:
    assert passed_over(*clicks("u", "abc"), *shown("u", "e", 21))[1] == [{}, {}, {}]


def test_an_item_the_user_has_had_is_left_out_and_one_chosen_later_stays() -> None:
    _, rows = passed_over(*clicks("u", "abc"), *shown("u", "abc", 5))
    assert rows == [{}, {"c": 1}, {}]  # a was had, b chosen then


def test_an_item_shown_again_counts_again_and_others_users_are_their_own() -> None:
    events = [*clicks("u", "abc"), *clicks("v", "def"), *shown("v", "hh", 12), *shown("w", "g", 1)]
    found, rows = passed_over(*events)
    assert found.user_ids == ["u", "v"]  # w chose nothing
    assert rows == [{}, {}, {}, {}, {}, {"h": 2}]


def test_a_source_without_impressions_leaves_the_split_as_it_was(tmp_path: Path) -> None:
    log(*clicks("u", "abcd")).collect().write_parquet(tmp_path / "interactions.parquet")
    ITEMS.write_parquet(tmp_path / "items.parquet")
    of = Dataset(tmp_path, DOMAIN, "0" * 64, {})
    split = split_sequences(sequences_from(ITEMS, of.scan("interactions"), DOMAIN), "leave_one_out")
    assert with_passed_over(of, split) is split


def test_offers_turned_down_belong_to_their_request(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        request(0, "i0", "train", liked=True),
        request(0, "i1", "train", liked=False),
        request(0, "i2", "train", liked=False),
        request(1, "i1", "train", liked=True),
        request(2, "i3", "test", liked=True),
    ]
    of = dataset(tmp_path, rows)
    found = with_passed_over(of, request_split(of)).passed_over
    assert found is not None
    assert [found[[row]].indices.tolist() for row in range(3)] == [[1, 2], [], []]


@pytest.mark.mirror
def test_adverts_have_exposures_before_training_clicks_and_news_have_none(tmp_path: Path) -> None:
    exposures = {}
    for name in ("ads", "news"):
        of = import_domain(load_domain(name), tmp_path / name, progress=False)
        split = make_split(of, "leave_one_out")
        found = with_passed_over(of, split).passed_over
        assert found is not None
        exposures[name] = found[np.flatnonzero(split.train)].sum()
    # all clicks of a reader bear the time of the impression that followed them
    assert exposures["news"] == 0
    assert exposures["ads"] > 15_000
