"""Modalities in a domain's YAML: what is refused, and that domains declare what they have."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from crossrec.data.features import read_features
from crossrec.domains import load_domain
from crossrec.domains.spec import Domain
from tests.conftest import MIRROR
from tests.domains.conftest import Imported

PICTURE = {"name": "image", "table": "features_image"}


@pytest.mark.parametrize(
    ("modalities", "message"),
    [
        ([{"name": "image"}], r"'image' needs either a table .* or columns"),
        ([PICTURE | {"columns": ["price"]}], r"'image' needs either a table .* or columns"),
        ([PICTURE, PICTURE], "two modalities are called 'image'"),
        ([PICTURE | {"log": ["x"]}], "has no column or field 'x'; it has none by name"),
        ([PICTURE | {"fields": ["y"], "left_out": ["x"]}], "no column or field 'x'; it has y"),
        ([{"name": "image", "table": "images"}], "String should match pattern"),
    ],
)
def test_a_wrong_modality_is_an_error(modalities: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Domain.model_validate({"name": "shop", "title": "Shop", "modalities": modalities})


@pytest.mark.mirror
@pytest.mark.parametrize(
    "name", sorted(path.parent.name for path in MIRROR.glob("*/features_*.parquet"))
)
def test_a_domain_declares_the_tables_that_it_has(imported: Imported, name: str) -> None:
    declared = {one.table for one in load_domain(name).modalities}
    assert {f"features_{modality}" for modality in imported(name).features()} <= declared


@pytest.mark.mirror
@pytest.mark.parametrize(
    ("name", "modality", "n_items", "width"),
    [
        ("movies", "image", 1643, 128),
        ("movies_recent", "image", 3151, 128),
        ("music", "audio", 5325, 11),
        ("fashion", "image", 347, 2048),
        ("fashion", "price", 13870, 1),
    ],
)
def test_features_cover_the_items_that_their_publisher_counts(
    imported: Imported, name: str, modality: str, n_items: int, width: int
) -> None:
    dataset = imported(name)
    one = next(one for one in dataset.domain.modalities if one.name == modality)
    found = read_features(dataset, one)
    assert found is not None
    assert int(found.present.sum()) == n_items
    assert found.values.shape[1] == width
