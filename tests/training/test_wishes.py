from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from crossrec.data.split import Cases, Sequences, Split
from crossrec.training.wishes import MAX_MADE, make_wishes, misspelt, wishes_for

TEXT = "Blue Lagoon is a quiet restaurant beside the river with a wonderful garden and live music"


def split_of(n_items: int, rows: int, requests: list[str] | None = None) -> Split:
    items = (np.arange(rows) % n_items).astype(np.int32)
    sequences = Sequences(
        ["u"], [f"i{n}" for n in range(n_items)], np.array([0, rows]), items,
        np.arange(rows), np.zeros(rows, np.int16), ["visit"], np.zeros(rows, np.float32),
        requests=requests,
    )  # fmt: skip
    nobody = Cases(np.empty(0, np.int64), np.empty(0, np.int64))
    train, warm = np.ones(rows, bool), np.ones(n_items, bool)
    return Split("leave_one_out", sequences, train, nobody, nobody, warm)


def catalogue(n_items: int) -> pl.DataFrame:
    return pl.DataFrame({"text": [f"{TEXT} {n}" for n in range(n_items)]})


def test_made_up_requests_use_the_item_s_own_words_and_never_its_name() -> None:
    known = {word.lower() for word in TEXT.split()[2:]} | {"food"}
    for seed in range(30):
        [wish] = make_wishes([TEXT], [["Food"]], seed)
        words = wish.split()
        assert words[0] == "food"
        assert 2 <= len(words) <= 5
        assert len(set(words) - known) <= 2  # a misspelt one now and then
        assert "lagoon" not in words


def test_equal_seeds_make_equal_requests_and_others_differ() -> None:
    assert make_wishes([TEXT] * 5, [None] * 5, 1) == make_wishes([TEXT] * 5, [None] * 5, 1)
    assert make_wishes([TEXT] * 5, [None] * 5, 1) != make_wishes([TEXT] * 5, [None] * 5, 2)


def test_a_text_of_one_word_is_its_own_request() -> None:
    assert make_wishes(["Tea", ""], [None, None], 0) == ["tea", ""]


def test_rows_of_an_item_take_turns_with_its_requests() -> None:
    wishes = wishes_for(split_of(4, rows=40), catalogue(4), seed=0)
    assert len(wishes.texts) == 12
    assert set(wishes.of_row) == set(range(12))
    items = split_of(4, rows=40).sequences.items
    assert (wishes.of_row % 4 == items).all()


def test_large_catalogues_get_one_request_an_item() -> None:
    n_items = MAX_MADE // 2 + 1
    assert len(wishes_for(split_of(n_items, n_items), catalogue(n_items), 0).texts) == n_items


def test_what_people_said_is_left_as_it_is() -> None:
    wishes = wishes_for(split_of(2, 3, requests=["a", "b", "c"]), catalogue(2), 0)
    assert wishes.texts == ["a", "b", "c"]
    assert wishes.of_row.tolist() == [0, 1, 2]


def test_a_misspelt_word_has_one_slip_and_keeps_its_ends() -> None:
    rng = np.random.default_rng(0)
    said = [misspelt("vegetarian", rng) for _ in range(2000)]
    slips = [word for word in said if word != "vegetarian"]
    assert len(slips) == pytest.approx(200, abs=60)
    assert all(word.startswith("v") and word.endswith("n") for word in slips)
    assert all(abs(len(word) - len("vegetarian")) <= 1 for word in slips)
    assert [misspelt("tea", rng) for _ in range(100)] == ["tea"] * 100
