"""Modalities as a model reads them: aligned, on one scale, missing where they are missing."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from crossrec.data.dataset import Dataset
from crossrec.data.features import (
    FARTHEST,
    ItemFeatures,
    chosen_modalities,
    read_features,
    whitened,
)
from crossrec.domains.spec import Domain, Modality
from crossrec.errors import ConfigError, DataError
from tests.data.shop import import_shop, shop

SOUND = {"name": "sound", "table": "features_sound", "fields": ["loud", "key", "length"]}
COST = {"name": "cost", "columns": ["cost"], "log": ["cost"]}


def shop_with(folder: Path, *modalities: dict[str, Any], sound: bool = True) -> Dataset:
    tables = shop(folder).model_dump()["tables"]
    if sound:
        wide = {"item_id": ["003", "001"], "loud": [1, 2], "key": [5, 7], "length": [10.0, 30.0]}
        pl.DataFrame(wide).write_parquet(folder / "sound.parquet")
        tables["features_sound"] = {"path": str(folder / "sound.parquet")}
    return import_shop(folder, tables=tables, modalities=list(modalities))


def first(dataset: Dataset) -> ItemFeatures:
    found = read_features(dataset, dataset.domain.modalities[0])
    assert found is not None
    return found


def test_rows_follow_the_catalogue_and_an_item_without_has_zeros(tmp_path: Path) -> None:
    found = first(shop_with(tmp_path, SOUND))
    assert found.labels == ("loud", "key", "length")
    assert found.present.tolist() == [True, False, True]
    assert found.values.tolist() == [[2, 7, 30], [0, 0, 0], [1, 5, 10]]


def test_a_field_may_be_left_out_and_another_read_as_a_logarithm(tmp_path: Path) -> None:
    found = first(shop_with(tmp_path, SOUND | {"left_out": ["key"], "log": ["length"]}))
    assert found.labels == ("loud", "length")
    expected = [math.log1p(30 / 20), math.log1p(10 / 20)]  # 20: the median of 10 and 30
    assert found.values[[0, 2], 1] == pytest.approx(expected)


def test_columns_of_items_are_a_modality_too(tmp_path: Path) -> None:
    items = ["sku,name,kinds,cost", "001,Green tea,tea,3.5", "002,Black tea,tea,", "003,Mug,k,7"]
    dataset = import_shop(tmp_path, items, modalities=[COST])
    found = first(dataset)
    assert found.present.tolist() == [True, False, True]
    middle = (3.5 + 7) / 2
    expected = [math.log1p(3.5 / middle), math.log1p(7 / middle)]
    assert found.values[[0, 2], 0] == pytest.approx(expected)


def test_what_is_free_has_a_logarithm_and_a_negative_price_is_none(tmp_path: Path) -> None:
    items = ["sku,name,kinds,cost", "001,Green tea,tea,0", "002,Black tea,tea,-1", "003,Mug,k,7"]
    found = first(import_shop(tmp_path, items, modalities=[COST]))
    assert found.present.tolist() == [True, False, True]
    assert found.values[0, 0] == 0


def test_data_without_the_table_have_none(tmp_path: Path) -> None:
    dataset = shop_with(tmp_path, SOUND, sound=False)
    assert read_features(dataset, dataset.domain.modalities[0]) is None


def test_a_column_that_the_items_lack_stops_the_import(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"'pric' as modality 'cost'.*no such column"):
        import_shop(tmp_path, modalities=[{"name": "cost", "columns": ["pric"]}])


def test_vectors_of_another_length_than_the_fields_are_refused(tmp_path: Path) -> None:
    dataset = shop_with(tmp_path, SOUND | {"fields": ["loud"]})
    with pytest.raises(DataError, match="vectors of 3 numbers, modality 'sound' names 1 fields"):
        first(dataset)


@pytest.mark.parametrize(
    ("ids", "vectors", "message"),
    [
        (["001", "002"], [[1.0], [1.0, 2.0]], r"vectors of \[1, 2\] numbers"),
        (["001", "001"], [[1.0], [2.0]], "an item twice"),
        (["001", "999"], [[1.0], [2.0]], "in no catalogue"),
        (["001", "002"], [[1.0], [math.nan]], "a value that is no number"),
    ],
)
def test_a_table_that_no_import_would_write_is_refused(
    tmp_path: Path, ids: list[str], vectors: list[list[float]], message: str
) -> None:
    dataset = import_shop(tmp_path)
    table = pl.DataFrame({"item_id": ids, "vector": vectors})
    table.write_parquet(dataset.folder / "features_x.parquet")
    with pytest.raises(DataError, match=message):
        read_features(dataset, Modality(name="x", table="features_x"))


def names(domain: Domain, wanted: str | list[str]) -> list[str]:
    return [one.name for one in chosen_modalities(domain, wanted)]


def test_a_setting_takes_all_none_or_some_and_an_unknown_name_is_an_error(tmp_path: Path) -> None:
    domain = shop(tmp_path, modalities=[SOUND, COST])
    assert names(domain, "all") == ["sound", "cost"]
    assert names(domain, "none") == []
    assert names(domain, ["cost"]) == ["cost"]
    with pytest.raises(ConfigError, match="'shop' has no modality 'sond': did you mean 'sound'"):
        names(domain, ["sond"])
    with pytest.raises(ConfigError, match="it declares none in its YAML"):
        names(shop(tmp_path), ["sound"])


def features(values: np.ndarray, missing: int = 0) -> ItemFeatures:
    values = np.concatenate([values, np.zeros((missing, values.shape[1]))]).astype(np.float32)
    present = np.arange(len(values)) < len(values) - missing
    return ItemFeatures("x", values, present, ())


def test_whitened_rows_have_a_length_of_about_one_whatever_the_units() -> None:
    rng = np.random.default_rng(0)
    mixed = rng.normal(size=(500, 6)) @ rng.normal(size=(6, 6))
    values = mixed * np.array([1e-3, 1, 1, 10, 1e5, 1]) + 7
    found = whitened(features(values, missing=3))
    lengths = np.linalg.norm(found, axis=1)
    assert 0.7 < lengths[:500].mean() < 1.05  # the ridge shortens directions of little variance
    assert not lengths[500:].any()
    np.testing.assert_allclose(found[:500].mean(axis=0), 0, atol=1e-4)
    scaled = whitened(features(values * 1000, missing=3))
    np.testing.assert_allclose(np.abs(scaled), np.abs(found), atol=1e-3)


def test_one_broken_value_is_cut_off() -> None:
    values = np.arange(100.0)[:, None]
    values[0] = 1e6
    assert np.abs(whitened(features(values))).max() <= FARTHEST * 3


def test_more_numbers_than_items_and_constant_ones_do_no_harm() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(5, 300))
    values[:, 0] = 3
    found = whitened(features(values, missing=2))
    assert found.shape == (7, 32)
    assert np.isfinite(found).all()
    assert not whitened(features(np.ones((1, 2)))).any()
