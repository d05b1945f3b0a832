from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from crossrec.data.importing import import_domain
from crossrec.data.infer import infer_domain, write_domain
from crossrec.domains.registry import read_domain
from crossrec.errors import ConfigError, DataError
from tests.data.shop import write

FILMS = [
    "movieId,title,genres",
    "10,Toy Story (1995),Animation|Comedy",
    "20,Heat (1995),Action|Crime",
    "30,Alien (1979),Horror",
]
RATINGS = [
    "userId,movieId,rating,timestamp",
    "1,10,4.0,881250949",
    "1,20,3.5,881250999",
    "2,30,5.0,891250949",
    "2,10,1.0,891250950",
]


def roles(items: Path, interactions: Path, **overrides: str) -> dict[str, dict[str, str]]:
    """Table → column → the role that was guessed."""
    given = {key.replace("__", "."): column for key, column in overrides.items()}
    found: dict[str, dict[str, str]] = {"items": {}, "interactions": {}}
    for guess in infer_domain("own", items, interactions, given).guesses:
        assert guess.reason
        found[guess.table][guess.column] = guess.role
    return found


@pytest.fixture
def films(tmp_path: Path) -> tuple[Path, Path]:
    return write(tmp_path / "movies.csv", FILMS), write(tmp_path / "ratings.csv", RATINGS)


def test_a_well_known_layout_is_recognised(films: tuple[Path, Path]):
    assert roles(*films) == {
        "items": {"movieId": "item_id", "title": "title", "genres": "category"},
        "interactions": {
            "userId": "user_id",
            "movieId": "item_id",
            "rating": "rating",
            "timestamp": "timestamp",
        },
    }


def test_the_written_yaml_imports(films: tuple[Path, Path], tmp_path: Path):
    inference = infer_domain("own", *films)
    path = write_domain(inference.domain, tmp_path / "domains")
    assert read_domain(path) == inference.domain
    dataset = import_domain(read_domain(path), tmp_path / "data", progress=False)
    assert dataset.card["rejected"] == {}
    [first, *_] = dataset.scan("items").collect().to_dicts()
    assert first["text"] == "Toy Story (1995). Animation, Comedy."
    assert first["category"] == ["Animation", "Comedy"]
    assert dataset.scan("interactions").collect()["weekday"].to_list() == [3, 3, 0, 0]


def test_shop_words_and_iso_dates_are_recognised(tmp_path: Path):
    items = [
        "sku;product_name;department;brand;price;launch_year;picture;long_text",
        *(
            f"A-{n};Lamp {c};{d};Acme;9.5;2019;x{n}.jpg;Lights up every room of the house"
            for n, (c, d) in enumerate([("red", "home"), ("blue", "home"), ("green", "garden")])
        ),
    ]
    log = [
        "order_no,customer_no,article,bought_on,action,weather,quantity",
        *(f"{n},c{n % 2},A-{n % 3},2024-05-1{n},{e},{w},1" for n, (e, w) in enumerate(
            [("view", "rain"), ("purchase", "sun"), ("impression", "rain"), ("view", "sun")] * 2
        )),
    ]  # fmt: skip
    files = write(tmp_path / "items.csv", items), write(tmp_path / "orders.csv", log)
    found = roles(*files)
    assert found["items"] == {
        "sku": "item_id",
        "product_name": "title",
        "department": "category",
        "brand": "part of text",
        "price": "objective price",
        "launch_year": "objective newness",
        "picture": "kept as it is",
        "long_text": "part of text",
    }
    assert found["interactions"] == {
        "order_no": "kept as it is",
        "customer_no": "user_id",
        "article": "item_id",
        "bought_on": "timestamp",
        "action": "event",
        "weather": "context category",
        "quantity": "kept as it is",
    }
    domain = infer_domain("own", *files).domain
    assert domain.dropped_events == ["impression"]
    assert [c.name for c in domain.context] == ["weather", "weekday"]  # days have no hour
    dataset = import_domain(domain, tmp_path / "data", progress=False)
    assert dataset.card["tables"] == {"items": 3, "interactions": 8}
    text = dataset.scan("items").collect()["text"][0]
    assert text == "Lamp red. home. Acme. Lights up every room of the house."


def test_json_lines_and_parquet_are_read_too(tmp_path: Path):
    pl.DataFrame(
        {"asin": ["B1", "B2", "B3"], "title": ["a saw", "a drill", "a file"]}
    ).write_ndjson(tmp_path / "meta.jsonl")
    pl.DataFrame(
        {
            "reviewerID": ["u1", "u1", "u2"],
            "asin": ["B1", "B2", "B3"],
            "overall": [5.0, 3.0, 4.0],
            "unixReviewTime": [1_400_000_000, 1_400_000_001, 1_400_000_002],
        }
    ).write_parquet(tmp_path / "reviews.parquet")
    found = roles(tmp_path / "meta.jsonl", tmp_path / "reviews.parquet")
    assert found["interactions"] == {
        "reviewerID": "user_id",
        "asin": "item_id",
        "overall": "rating",
        "unixReviewTime": "timestamp",
    }


def test_small_numbers_that_match_by_chance_do_not_win(tmp_path: Path):
    items = ["item_id,title", *(f"{n},thing {n}" for n in range(1, 31))]
    log = ["user_id,item_id,stars,timestamp"]
    log += [f"{n % 5 + 1},{n % 30 + 1},{n % 5 + 1},{1_700_000_000 + n}" for n in range(90)]
    found = roles(write(tmp_path / "i.csv", items), write(tmp_path / "l.csv", log))
    assert found["interactions"] == {
        "user_id": "user_id",
        "item_id": "item_id",
        "stars": "rating",
        "timestamp": "timestamp",
    }


def test_what_the_user_says_wins(films: tuple[Path, Path]):
    found = roles(*films, interactions__rating="-", items__category="-")
    assert found["interactions"]["rating"] == "kept as it is"
    assert found["items"]["genres"] == "part of text"
    swapped = infer_domain("own", *films, {"interactions.user_id": "rating"})
    assert [g.reason for g in swapped.guesses if g.role == "user_id"] == ["you said so"]


def test_without_a_time_the_order_of_the_file_stays(films: tuple[Path, Path], tmp_path: Path):
    lines = [line.rpartition(",")[0] for line in RATINGS]
    domain = infer_domain("own", films[0], write(tmp_path / "r.csv", lines)).domain
    assert domain.time_kind == "none"
    assert domain.context == []
    assert import_domain(domain, tmp_path, progress=False).card["rejected"] == {}


def test_a_column_of_positions_is_an_order(films: tuple[Path, Path], tmp_path: Path):
    lines = ["userId,movieId,position", "1,10,0", "1,20,1", "2,30,0"]
    domain = infer_domain("own", films[0], write(tmp_path / "r.csv", lines)).domain
    assert domain.time_kind == "order_index_per_user"
    assert domain.tables["interactions"].columns["timestamp"] == "position"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["userId,thing,timestamp", "1,x,881250949"], "no column of r.csv holds ids of movies.csv"),
        (["movieId,rating,timestamp", "10,4,881250949"], "no column of r.csv looks like a user id"),
        (["userId,movieId"], r"r\.csv has no rows"),
    ],
)
def test_what_cannot_be_guessed_is_asked_for(
    films: tuple[Path, Path], tmp_path: Path, lines: list[str], message: str
):
    with pytest.raises(DataError, match=message):
        infer_domain("own", films[0], write(tmp_path / "r.csv", lines))


def test_an_item_that_stands_twice_is_named(tmp_path: Path):
    rows = ["item_id,title", "a,Alien the film", "b,Brazil", "a,Alien again", "c,Casablanca"]
    items = write(tmp_path / "i.csv", rows)
    log = ["user_id,item_id,timestamp", "1,a,881250949", "1,b,881250950", "2,c,881250951"]
    with pytest.raises(DataError, match=r"'item_id' of i.csv holds 'a' more than once \(1 of 4"):
        infer_domain("own", items, write(tmp_path / "r.csv", log))


def test_items_without_words_are_refused(films: tuple[Path, Path], tmp_path: Path):
    items = write(tmp_path / "i.csv", ["movieId,price", "10,1", "20,2", "30,3"])
    with pytest.raises(DataError, match="holds words that describe an item"):
        infer_domain("own", items, films[1])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ({"interactions.usr_id": "userId"}, "is no role: did you mean 'interactions.user_id'"),
        ({"interactions.user_id": "userID"}, "no column 'userID' .* did you mean 'userId'"),
    ],
)
def test_a_misspelt_override_names_near_matches(
    films: tuple[Path, Path], override: dict[str, str], message: str
):
    with pytest.raises(ConfigError, match=message):
        infer_domain("own", *films, override)


def test_items_alone_are_a_domain_that_nobody_has_used(films: tuple[Path, Path], tmp_path: Path):
    domain = infer_domain("own", films[0], None).domain
    assert set(domain.tables) == {"items"}
    assert domain.tables["items"].columns == {"item_id": "movieId", "category": "genres"}
    assert (domain.time_kind, domain.context) == ("unix_seconds", [])
    dataset = import_domain(domain, tmp_path / "data", progress=False)
    assert dataset.card["tables"] == {"items": 3, "interactions": 0}
    with pytest.raises(ConfigError, match=r"there is no file of interactions"):
        infer_domain("own", films[0], None, {"interactions.user_id": "userId"})


def test_items_without_anything_like_an_id_are_refused(tmp_path: Path):
    path = write(tmp_path / "items.csv", ["kind,what", "tea,green leaves", "mug,white clay"])
    with pytest.raises(DataError, match=r"looks like an item id .* name it.*items\.item_id=sku"):
        infer_domain("own", path, None)
    domain = infer_domain("own", path, None, {"items.item_id": "kind"}).domain
    assert domain.tables["items"].columns["item_id"] == "kind"
