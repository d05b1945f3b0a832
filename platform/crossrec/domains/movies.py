"""Reads MovieLens 100K from the members of RecBole's wheel (tab-separated, `name:type` headers).

Leaves to others: fetching the wheel (data/sources.py), checking the rows (data/clean.py).
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

FOLDER = Path("recbole", "dataset_example", "ml-100k")
# "Usual Suspects, The" is how the source sorts titles; people and encoders read it the other way.
_ARTICLE = r"^(.*), (The|A|An|Il|La|Le|Les|El|Los|Las|Das|Der|Die|Lo|Het|Un|Una)( \(.*\))?$"


def read(folder: Path) -> dict[str, pl.LazyFrame]:
    """Canonical tables items, interactions and users.

    Interactions are sorted by time, then by user and item id as strings: the source's row order is
    random and half of a user's ratings share their second, so a fixed order keeps splits the same.
    """
    return {
        "items": _items(_scan(folder / FOLDER / "ml-100k.item")),
        "interactions": _interactions(_scan(folder / FOLDER / "ml-100k.inter")),
        "users": _scan(folder / FOLDER / "ml-100k.user").with_columns(pl.col("age").cast(pl.Int32)),
    }


def _scan(path: Path) -> pl.LazyFrame:
    """A table as text, its columns without the `:type` behind their names."""
    return pl.scan_csv(
        path,
        separator="\t",
        quote_char=None,
        infer_schema=False,
        with_column_names=lambda names: [name.partition(":")[0] for name in names],
    )


def _items(films: pl.LazyFrame) -> pl.LazyFrame:
    year = pl.col("release_year").cast(pl.Int32, strict=False)  # film 1412 has a "V" there
    title = pl.col("movie_title").str.replace("^unkonwn$", "unknown")
    title = title.str.replace(_ARTICLE, "$2 $1$3")
    genres = pl.col("class").str.split(" ")
    shown_year = pl.format(" ({})", pl.col("year")).fill_null("")
    known = pl.col("category").list.get(0) != "unknown"
    shown_genres = pl.when(known).then(
        pl.format(" Genres: {}.", pl.col("category").list.join(", "))
    )
    return films.select("item_id", title=title, category=genres, year=year).with_columns(
        text=pl.concat_str("title", shown_year, pl.lit("."), shown_genres.fill_null(""))
    )


def _interactions(ratings: pl.LazyFrame) -> pl.LazyFrame:
    return ratings.select(
        "user_id",
        "item_id",
        pl.col("timestamp").cast(pl.Int64),
        pl.col("rating").cast(pl.Float32),
        event=pl.lit("rating"),
    ).sort("timestamp", "user_id", "item_id")
