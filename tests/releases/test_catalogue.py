from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from crossrec.data.dataset import Dataset
from crossrec.errors import ReleaseError, RequestError
from crossrec.releases.catalogue import CATALOGUE, Catalogue
from crossrec.releases.catalogue_writer import write_catalogue
from tests.small_release import N_ITEMS, SmallDomain, make_small_domain


@pytest.fixture(scope="module")
def catalogue(films: SmallDomain, tmp_path_factory: pytest.TempPathFactory):
    path = tmp_path_factory.mktemp("catalogue") / CATALOGUE
    write_catalogue(path, films.dataset, films.model.vocabulary.item_ids, films.sequences)
    found = Catalogue(path)
    yield found
    found.close()


def test_a_card_has_every_column_of_its_item(catalogue: Catalogue):
    item = catalogue.card(21)
    assert (item.item_id, item.title) == ("film-21", "The comedy number 21")
    assert item.category == ["comedy", "film"]
    assert item.columns == {"year": 2001, "price": 10.5, "studio": "south", "tags": ["new"]}
    assert catalogue.card(5).columns["price"] is None


def test_cards_and_titles_come_in_the_order_asked_for(catalogue: Catalogue):
    assert [item.item_idx for item in catalogue.cards([7, 2, 9])] == [7, 2, 9]
    assert catalogue.titles([3, 1]) == ["The comedy number 3", "The space number 1"]
    assert catalogue.cards([]) == []


def test_search_prefers_items_with_all_words_and_finds_parts_and_accents(catalogue: Catalogue):
    assert catalogue.search("horror 23")[0].item_id == "film-23"
    assert len(catalogue.search("comedies", limit=100)) == 8  # by its stem
    assert catalogue.search("hor", limit=1)[0].category[0] == "horror"
    assert len(catalogue.search("CAFE", limit=100)) == N_ITEMS
    assert len(catalogue.search("horror westerns", limit=100)) == 8  # any word, if none has all
    assert catalogue.search("afé sc", limit=1)  # inside a word
    assert catalogue.search("western") == catalogue.search("  ") == []


@pytest.fixture
def wars(tmp_path: Path):
    """A catalogue whose titles and texts hold `star` and `wars` in many ways."""
    named = {
        "Starman": "wars wars wars stars stars stars",
        "Starship Wars": "a ship",
        "Lone Starr": "a star of the wars, star wars, star wars, star wars",
        "Wars of a Star": "far away",
        "Long ago: Star Wars, the first of a series with a long name": "a farm boy " * 50,
    }
    make_small_domain(tmp_path / "films")
    rows = named | {f"Number {n}": "nothing" for n in range(N_ITEMS - len(named))}
    file = tmp_path / "films" / "items.parquet"
    texts = pl.Series("title", list(rows)), pl.Series("text", list(rows.values()))
    pl.read_parquet(file).with_columns(*texts).write_parquet(file)
    ids = [f"film-{n}" for n in range(N_ITEMS)]
    write_catalogue(tmp_path / CATALOGUE, Dataset.open("films", tmp_path), ids, None)
    found = Catalogue(tmp_path / CATALOGUE)
    yield found
    found.close()


def test_items_with_a_word_are_counted_as_far_as_asked(catalogue: Catalogue):
    assert catalogue.n_with_word("horrors", N_ITEMS) == 8  # by its stem
    assert catalogue.n_with_word("cafe", 2) == 2
    assert catalogue.n_with_word("western", 2) == 0
    assert (catalogue.has_word("scene"), catalogue.has_word("western")) == (True, False)


def test_titles_with_the_whole_words_come_before_everything_else(wars: Catalogue):
    found = [item.title for item in wars.search("star wars")]
    assert found[0].startswith("Long ago")
    assert found[1] == "Wars of a Star"
    assert set(found[2:4]) == {"Lone Starr", "Starman"}
    assert found[4:] == ["Starship Wars"]
    assert wars.search("star+wars", 1)[0].title.startswith("Long ago")


@pytest.mark.parametrize("text", ['"', "a OR b", "NEAR(", "title:x", "*", "' --", "100%", "_" * 9])
def test_search_takes_any_text_as_words(catalogue: Catalogue, text: str):
    assert isinstance(catalogue.search(text), list)


def _rows(mask: np.ndarray) -> list[int]:
    return np.flatnonzero(mask).tolist()


def test_a_filter_is_a_value_a_list_or_a_range(catalogue: Catalogue):
    assert _rows(catalogue.mask({"studio": "south"})) == list(range(12, 24))
    assert _rows(catalogue.mask({"year": [1980, 1982]})) == [0, 2]
    assert _rows(catalogue.mask({"year": {"min": 2000, "max": 2001}})) == [20, 21]
    assert _rows(catalogue.mask({"price": {"max": 3}})) == [0, 1, 2, 3, 4, 6]  # 5 has no price
    assert _rows(catalogue.mask({"tags": "new"})) == [20, 21, 22, 23]
    assert _rows(catalogue.mask({"category": ["comedy", "horror"], "year": {"max": 1983}})) == [
        0,
        2,
        3,
    ]
    assert catalogue.mask({}).all()


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ({"yaer": 1}, "no item column 'yaer': did you mean 'year'"),
        ({"year": "new"}, "expected a number"),
        ({"studio": 3}, "expected text"),
        ({"year": []}, "got 0 values"),
        ({"year": {"from": 1}}, r"expected min, max or both"),
        ({"year": {}}, "an empty range"),
        ({"tags": {"min": 1}}, "is a list column"),
        ({"year": 10**400}, "expected a number"),
        ({'year" OR 1=1 --': 1}, "no item column"),
    ],
)
def test_a_wrong_filter_is_refused_with_what_was_expected(catalogue, filters, message):
    with pytest.raises(RequestError, match=message):
        catalogue.mask(filters)


def test_histories_are_those_of_the_data(catalogue: Catalogue, films: SmallDomain):
    rows = films.sequences.rows(films.sequences.user_ids.index("user-3"))
    history = catalogue.history("user-3")
    assert history is not None
    assert history.items.tolist() == films.sequences.items[rows].tolist()
    assert history.times.tolist() == films.sequences.times[rows].tolist()
    assert [catalogue.event_names[event] for event in history.events] == ["watch"] * 5
    assert catalogue.history("nobody") is None
    assert set(catalogue.example_users(3)) <= set(films.sequences.user_ids)


@pytest.mark.parametrize(
    ("ratings", "expected"), [([np.nan, 0.5, 4, 3], (0.5, 4.0)), ([np.nan] * 4, None)]
)
def test_the_range_of_the_ratings_is_kept(films: SmallDomain, tmp_path, ratings, expected):
    given = np.resize(np.array(ratings, np.float32), films.sequences.items.shape)
    users = replace(films.sequences, ratings=given)
    write_catalogue(tmp_path / CATALOGUE, films.dataset, films.model.vocabulary.item_ids, users)
    found = Catalogue(tmp_path / CATALOGUE)
    assert found.rating_range == expected
    found.close()


def test_reading_writes_nothing_beside_the_file(films: SmallDomain, tmp_path):
    path = tmp_path / CATALOGUE
    write_catalogue(path, films.dataset, films.model.vocabulary.item_ids, None)
    path.chmod(0o400)
    catalogue = Catalogue(path)
    assert catalogue.history("user-1") is None
    assert [file.name for file in tmp_path.iterdir()] == [CATALOGUE]
    catalogue.close()


def test_a_file_that_is_no_catalogue_is_refused(tmp_path):
    path = tmp_path / CATALOGUE
    with pytest.raises(ReleaseError, match="is missing"):
        Catalogue(path)
    path.write_text("hello " * 1000)
    with pytest.raises(ReleaseError, match="is no catalogue"):
        Catalogue(path)


def test_reading_a_release_needs_no_heavy_library():
    heavy = ["torch", "polars", "pandas", "pyarrow", "transformers", "scipy", "ray"]
    code = (
        "import sys, crossrec.releases.store, crossrec.serving.recommender\n"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("price < 2", [0, 1, 2, 3]),
        ('price < 20 and "space" in category', list(range(1, 24, 3))),
        ('"new" in tags', [20, 21, 22, 23]),
        ('"new" not in tags', list(range(20))),
        ("tags is missing", list(range(20))),
        ("price is missing", [5]),
        ("not price < 11", [22, 23]),
        ("price > 2 and price < 3", []),
        ("not (price < 2 or price >= 3)", [4]),
        ('"out" in studio and year < 1994', [12, 13]),
        ('studio == "north" and year in [1980, 1981, 2001]', [0, 1]),
        ('category in ["space", "horror"] and 1980 <= year <= 1982', [1, 2]),
        ('studio >= "o" and year > 2002', [23]),
        ('studio == "x\' or 1=1"', []),
    ],
)
def test_an_expression_finds_the_items_that_satisfy_it(
    catalogue: Catalogue, where: str, expected: list[int]
):
    assert _rows(catalogue.mask({}, where)) == expected


def test_without_a_value_neither_a_test_nor_its_opposite_holds(catalogue: Catalogue):
    assert 5 not in _rows(catalogue.mask({}, "price < 3")) + _rows(
        catalogue.mask({}, "not price < 3")
    )
    assert _rows(catalogue.mask({}, "price < 3 or price is missing")) == [0, 1, 2, 3, 4, 5]


def test_filters_and_an_expression_hold_together(catalogue: Catalogue):
    mask = catalogue.mask({"studio": "south", "price": {"max": 7}}, '"comedy" in category')
    assert np.flatnonzero(mask).tolist() == [12]


def test_an_expression_may_ask_as_much_as_a_request_can_hold(catalogue: Catalogue):
    values = ", ".join(f"{n}" for n in range(250))
    tests = " or ".join([f"year in [{values}]", *["price < 1"] * 50])
    assert _rows(catalogue.mask({}, tests)) == [0, 1]


def test_what_was_seen_is_counted_and_dated(catalogue: Catalogue, films: SmallDomain):
    counts, first = catalogue.seen
    for item_idx in range(N_ITEMS):
        times = films.sequences.times[films.sequences.items == item_idx]
        assert counts[item_idx] == len(times)
        assert first[item_idx] == (times.min() if len(times) else 0)
