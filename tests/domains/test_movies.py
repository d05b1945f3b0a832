from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from crossrec.data.clean import plan_table
from crossrec.data.read import Table
from crossrec.domains import load_domain
from crossrec.domains.movies import FOLDER, read
from tests.data.shop import write


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    folder = tmp_path / FOLDER
    items = [
        "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq",
        "1\tToy Story\t1995\tAnimation Children's Comedy",
        "12\tUsual Suspects, The\t1995\tCrime Thriller",
        '267\tunkonwn\tunkonwn\tunknown',
        '5\tBig Blue, The (Grand bleu, Le)\t1988\tDrama',
        '6\tThe "Best" Years\t1946\tunknown',
        "1412\tLand Before Time III (1995)\tV\tAnimation",
    ]  # fmt: skip
    write(folder / "ml-100k.item", items)
    ratings = ["user_id:token\titem_id:token\trating:float\ttimestamp:float"]
    ratings += ["9\t5\t3\t200", "10\t1\t4\t200", "9\t12\t5\t200", "9\t1\t2\t100"]
    write(folder / "ml-100k.inter", ratings)
    users = ["user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token"]
    write(folder / "ml-100k.user", [*users, "9\t24\tF\tartist\t01234"])
    return tmp_path


def test_titles_read_as_people_write_them(wheel: Path):
    items = read(wheel)["items"].collect()
    texts = dict(items.select("title", "text").rows())
    assert texts == {
        "Toy Story": "Toy Story (1995). Genres: Animation, Children's, Comedy.",
        "The Usual Suspects": "The Usual Suspects (1995). Genres: Crime, Thriller.",
        "unknown": "unknown.",
        "The Big Blue (Grand bleu, Le)": "The Big Blue (Grand bleu, Le) (1988). Genres: Drama.",
        'The "Best" Years': 'The "Best" Years (1946).',
        "Land Before Time III (1995)": "Land Before Time III (1995). Genres: Animation.",
    }


def test_ratings_of_one_second_are_in_the_order_of_user_and_item_as_text(wheel: Path):
    log = read(wheel)["interactions"].collect()
    assert log.select("user_id", "item_id").rows() == [
        ("9", "1"),
        ("10", "1"),
        ("9", "12"),
        ("9", "5"),
    ]


def test_its_tables_are_canonical(wheel: Path):
    domain = load_domain("movies")
    for name, frame in read(wheel).items():
        plan = plan_table(name, Table.of(frame, name), domain, None, canonical=True)
        assert plan.rejected.collect().is_empty()
        assert plan.kept.collect().height == frame.collect().height


@pytest.mark.mirror
def test_interactions_are_those_of_the_mirror_in_the_same_order(data_mirror: Path):
    """What the reader sorts by is what the published splits were made from."""
    published = pl.read_parquet(data_mirror / "movies" / "interactions.parquet")
    assert published.equals(published.sort("timestamp", "user_id", "item_id"))
