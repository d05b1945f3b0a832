from __future__ import annotations

from datetime import datetime
from pathlib import Path

import polars as pl
import pytest

from crossrec.domains.grocery import FOLDER, MIN_HOUSEHOLDS, read

MOMENT = datetime(2017, 1, 1, 11, 53, 26)
PRODUCTS = [
    # product, maker, department, brand, category, type, size
    (1, 69, "GROCERY", "Private", "FRZN ICE", "ICE - CRUSHED/CUBED", "22  LB"),
    (2, 2, "PASTRY", "National", None, "BREAD:ITALIAN", None),
    (3, 2, "MISCELLANEOUS", "National", None, None, None),
    (4, 7, "GROCERY", "National", "TEA", "TEA BAGS", "10 CT"),
]


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    folder = tmp_path / FOLDER
    folder.mkdir(parents=True)
    names = ["product_id", "manufacturer_id", "department", "brand"]
    names += ["product_category", "product_type", "package_size"]
    pl.DataFrame(PRODUCTS, schema=names, orient="row").write_parquet(folder / "products.parquet")
    lines = []
    for household in range(MIN_HOUSEHOLDS):
        for product in (1, 2, 3):
            lines.append((household, product, household % 3, 1.0 + household % 3))
        if household:  # product 4 lacks one household
            lines.append((household, 4, 1, 1.0))
    frame = pl.DataFrame(
        lines, schema=["household_id", "product_id", "quantity", "sales_value"], orient="row"
    ).with_columns(
        pl.lit(MOMENT).cast(pl.Datetime("ns")).alias("transaction_timestamp"),
        *(pl.lit(0).alias(c) for c in ("basket_id", "store_id", "week")),
        *(pl.lit(0.0).alias(c) for c in ("retail_disc", "coupon_disc", "coupon_match_disc")),
    )  # fmt: skip
    frame.write_parquet(folder / "transactions.parquet")
    pl.DataFrame({"household_id": [7, 1], "age": ["65+", "19-24"]}).write_parquet(
        folder / "demographics.parquet"
    )
    return tmp_path


def test_products_of_a_known_type_and_enough_households_are_items(wheel: Path):
    items = read(wheel)["items"].collect()
    assert items["item_id"].to_list() == ["1", "2"]
    assert items["text"].to_list() == [
        "ice - crushed cubed, 22 lb. Category: frzn ice. Department: grocery."
        " Store brand, maker 69.",
        "bread italian. Department: pastry. National brand, maker 2.",
    ]
    assert items["category"].to_list() == [
        ["grocery", "frzn ice", "ice - crushed cubed"],
        ["pastry", "bread italian"],
    ]


def test_the_price_is_the_median_of_what_was_paid_for_one(wheel: Path):
    # quantities 0, 1, 2 cost 1, 2, 3: lines of quantity 0 say nothing, the others 2 and 1.5;
    # of 40 households 13 bought one and 13 bought two, so the median is halfway
    assert read(wheel)["items"].collect()["price"].to_list() == [1.75, 1.75]


def test_lines_keep_the_order_of_the_source_within_a_household(wheel: Path):
    log = read(wheel)["interactions"].collect()
    assert log.height == 2 * MIN_HOUSEHOLDS
    assert log["user_id"].is_sorted()  # as text, all lines are of one second
    assert log.filter(user_id="7")["item_id"].to_list() == ["1", "2"]
    assert log["timestamp"].unique().to_list() == [1_483_271_606]
