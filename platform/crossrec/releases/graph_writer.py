"""Writes what items share in a domain's knowledge graph into a release's catalogue.

Leaves to others: reading it (catalogue.py), what is told of it (explanation/paths.py).
"""

from __future__ import annotations

import sqlite3

import polars as pl

from crossrec.data.dataset import Dataset
from crossrec.schema import ITEM_ID

WORDS = {
    "directed_by": "director",
    "written_by": "writer",
    "music": "composer",
    "cinematography": "cinematographer",
    "edited_by": "editor",
    "produced_by": "producer",
    "executive_produced_by": "executive producer",
    "costume_design_by": "costume designer",
    "story_by": "story",
}
"""Last part of a Freebase relation → a noun."""


def write_graph(db: sqlite3.Connection, dataset: Dataset, item_ids: list[str]) -> None:
    """Write table `shared` (item_idx, relation, entity, label, n): ties of items to entities that
    two items at least have. It is empty where the domain has no `kg` table.

    Items are entities by `kg_links` (item_id, entity); without it the heads of `kg` are item ids.
    A triple counts from both its ends: who made a film, and the film that somebody made.
    """
    db.execute(
        "CREATE TABLE shared (item_idx INTEGER, relation TEXT, entity TEXT, label TEXT, n INTEGER)"
    )
    if dataset.has("kg"):
        ties = _ties(dataset, item_ids)
        db.executemany("INSERT INTO shared VALUES (?, ?, ?, ?, ?)", ties.iter_rows())
    db.execute("CREATE INDEX shared_by_item ON shared (item_idx)")


def _ties(dataset: Dataset, item_ids: list[str]) -> pl.DataFrame:
    """Columns of the table, one row an item and entity."""
    rows = pl.DataFrame({ITEM_ID: item_ids}).with_row_index("item_idx")
    if dataset.has("kg_links"):
        links = dataset.scan("kg_links").select(ITEM_ID, "entity").collect().join(rows, on=ITEM_ID)
    else:
        links = rows.with_columns(pl.col(ITEM_ID).alias("entity"))
    links = links.select("item_idx", "entity")
    kg = dataset.scan("kg").collect()
    ends = (("head", "tail", _forward), ("tail", "head", _back))
    ties = pl.concat(
        kg.rename({here: "own", there: "other"})
        .join(links.rename({"entity": "own"}), on="own")
        .select("item_idx", word(pl.col("relation")).alias("relation"), entity="other")
        for here, there, word in ends
    ).unique()
    n = ties.group_by("relation", "entity").len("n").filter(pl.col("n") > 1)
    shared = ties.join(n, on=["relation", "entity"]).join(_labels(dataset), "entity", how="left")
    shared = _named_by_items(shared, dataset, rows)
    columns = "item_idx", "relation", "entity", pl.col("label").fill_null(""), "n"
    return shared.select(*columns).sort("item_idx", "relation", "entity")


def _forward(relation: pl.Expr) -> pl.Expr:
    """`film.film.directed_by` of a film is its director."""
    return relation.str.split(".").list.last().replace(WORDS).str.replace_all("_", " ")


def _back(relation: pl.Expr) -> pl.Expr:
    """`film.producer.film` points at a film from its producer; a plain relation stays as it is."""
    parts = relation.str.split(".")
    word = parts.list.get(1, null_on_oob=True).fill_null(relation)
    return word.str.replace_all("film_", "").str.replace_all("_", " ")


def _labels(dataset: Dataset) -> pl.DataFrame:
    """Names of entities, where the domain has them."""
    if not dataset.has("kg_entities"):
        return pl.DataFrame(schema={"entity": pl.String, "label": pl.String})
    return dataset.scan("kg_entities").select("entity", "label").collect().unique("entity")


def _named_by_items(ties: pl.DataFrame, dataset: Dataset, rows: pl.DataFrame) -> pl.DataFrame:
    """Names for entities without one, where the items say them: a tie called like a column of the
    items (director) is named by that column if two items at least have something there, all of them
    the same and no list. Whoever made them with others stays without a name.
    """
    items = dataset.catalogue()
    text = [name for name, kind in items.schema.items() if kind == pl.String]
    relations = [one for one in ties["relation"].unique().sort() if one in text]
    if not relations:
        return ties
    said = (
        items.select(ITEM_ID, *relations)
        .join(rows, on=ITEM_ID)
        .unpivot(relations, index="item_idx", variable_name="relation", value_name="said")
        .with_columns(pl.col("said").str.strip_chars())
        .filter(pl.col("said").str.len_chars() > 0)
    )
    named = (
        ties.join(said, on=["item_idx", "relation"])
        .group_by("relation", "entity")
        .agg(pl.col("said").first(), kinds=pl.col("said").n_unique(), items=pl.len())
        .filter((pl.col("kinds") == 1) & (pl.col("items") > 1) & ~pl.col("said").str.contains(","))
        .select("relation", "entity", "said")
    )
    found = ties.join(named, on=["relation", "entity"], how="left")
    return found.with_columns(label=pl.coalesce("label", "said")).drop("said")
