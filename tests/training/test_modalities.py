"""Modalities in a training: none changes nothing, and a telling one finds new items."""

from __future__ import annotations

import logging
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from crossrec.config import Placement
from crossrec.data.batches import queries_for
from crossrec.data.dataset import Dataset
from crossrec.domains.spec import Modality
from crossrec.errors import ConfigError
from crossrec.evaluation.protocols import judge
from crossrec.models.domain_model import DomainModel
from crossrec.models.encoder import TextEncoder
from crossrec.models.linear_weights import training_matrix
from crossrec.models.text_signals import unit
from crossrec.training.assemble import assemble
from crossrec.training.closed_form import Tuning
from crossrec.training.cold_gates import cold_cases
from crossrec.training.lending import WEIGHTS, lending_vectors
from crossrec.training.loop import fit
from crossrec.training.prepare import Prepared
from tests.training.small import make_city, prepare_city

FP32 = Placement(precision="fp32")
TASTE = Modality(name="taste", table="features_taste")


def declaring(city: Dataset, *modalities: Modality) -> Dataset:
    domain = city.domain.model_copy(update={"modalities": list(modalities)})
    return replace(city, domain=domain)


def with_tastes(city: Dataset, folder: Path) -> Dataset:
    """The city with a table of what visits say of taste, of all items but the first ten."""
    shutil.copytree(city.folder, folder)
    rows = city.scan("interactions").collect()
    ids = city.catalogue()["item_id"].to_list()
    users = {user: n for n, user in enumerate(rows["user_id"].unique().sort())}
    visits = np.zeros((len(ids), len(users)), np.float32)
    for item, user in rows.select("item_id", "user_id").iter_rows():
        visits[ids.index(item), users[user]] = 1
    axes, sizes, _ = np.linalg.svd(visits - visits.mean(axis=0), full_matrices=False)
    tastes = axes[:, :6] * sizes[:6]
    known = pl.DataFrame({"item_id": ids[10:], "vector": tastes[10:].tolist()})
    known.write_parquet(folder / "features_taste.parquet")
    return declaring(replace(city, folder=folder), TASTE)


@pytest.fixture(scope="module")
def tasty(city: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """The small city."""
    return with_tastes(city, tmp_path_factory.mktemp("tasty") / city.folder.name)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """A larger one: fifteen items of validation tell what a modality says of new items."""
    root = tmp_path_factory.mktemp("large")
    city = make_city(root, n_users=400, n_items=300)
    return with_tastes(city, root / "tasty" / city.folder.name)


def outcome(prepared: Prepared) -> tuple[list[float], np.ndarray]:
    """Losses of a short training, and the scores of all test cases."""
    fitted = fit(prepared, placement=FP32)
    cases = queries_for(prepared.split.sequences, prepared.split.test, prepared.text.shape[1])
    return [epoch["loss"] for epoch in fitted.history], assemble(prepared, fitted).score(cases)


def test_a_domain_without_modalities_trains_as_with_none(tasty: Dataset, tiny: TextEncoder) -> None:
    settings = ("model.dropout=0.2", "model.id_dropout=0.2", "training.max_epochs=2")
    bare = outcome(prepare_city(declaring(tasty), tiny, *settings))
    none = outcome(prepare_city(tasty, tiny, *settings, "model.modalities=none"))
    some = outcome(prepare_city(tasty, tiny, *settings))
    assert bare[0] == none[0]
    np.testing.assert_array_equal(bare[1], none[1])
    assert bare[0] != some[0]


def test_the_data_may_lack_a_modality_which_is_said(
    city: Dataset, tiny: TextEncoder, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        prepared = prepare_city(declaring(city, TASTE), tiny)
    said = "without the modality 'taste': the imported data have no table 'features_taste'"
    assert said in caplog.text
    assert not prepared.modalities
    assert prepared.coverage == {"taste": 0.0}


def test_a_modality_that_is_not_asked_for_is_not_missed(
    city: Dataset, tiny: TextEncoder, caplog: pytest.LogCaptureFixture
) -> None:
    prepared = prepare_city(declaring(city, TASTE), tiny, "model.modalities=none")
    assert prepared.coverage == {}
    assert not caplog.text


def test_an_unknown_modality_stops_before_anything_is_encoded(
    tasty: Dataset, tiny: TextEncoder
) -> None:
    with pytest.raises(ConfigError, match="has no modality 'tast': did you mean 'taste'"):
        prepare_city(tasty, tiny, "model.modalities=[tast]")


def test_items_without_it_are_counted_and_stay_as_they_are(
    tasty: Dataset, tiny: TextEncoder
) -> None:
    prepared = prepare_city(tasty, tiny, "training.max_epochs=2")
    assert prepared.coverage == pytest.approx({"taste": 0.9}, abs=0.02)
    network = fit(prepared, placement=FP32).network
    vectors = network.export().vectors
    network.items.modalities["taste"].features.zero_()
    changed = np.abs(network.export().vectors - vectors).max(axis=1) > 1e-6
    assert not changed[:10].any()
    assert changed[10:].mean() > 0.9


def test_new_items_are_found_by_what_only_a_modality_knows(
    large: Dataset, tiny: TextEncoder
) -> None:
    settings = (
        *("protocol=cold_items", "training.max_epochs=12", "training.seed=3"),
        "training.temperature=0.07",  # quick to learn, as a few epochs must be enough here
    )
    found = {}
    for wanted in ("none", "all"):
        prepared = prepare_city(large, tiny, *settings, f"model.modalities={wanted}")
        fitted = fit(prepared, placement=FP32)
        found[wanted] = judge(fitted.sequence().score, prepared.split).mean("ndcg@10")
    assert found["all"] > 1.3 * found["none"]
    assert fitted.network.items.modalities["taste"].cold == 1  # validation has chosen so


def test_new_items_go_without_a_modality_that_says_nothing(
    large: Dataset, tiny: TextEncoder
) -> None:
    settings = (
        *("protocol=cold_items", "training.max_epochs=12", "training.seed=3"),
        "training.temperature=0.07",  # quick to learn, as a few epochs must be enough here
    )
    prepared = prepare_city(large, tiny, *settings)
    noise = np.random.default_rng(0).normal(size=(len(prepared.texts), 32)).astype(np.float32)
    fitted = fit(replace(prepared, modalities={"noise": noise}), placement=FP32)
    assert fitted.network.items.modalities["noise"].cold == 0


@pytest.mark.parametrize("protocol", ["leave_one_out", "temporal", "cold_items"])
def test_what_validation_says_of_cold_items_is_neither_training_nor_test(
    city: Dataset, tiny: TextEncoder, protocol: str
) -> None:
    split = prepare_city(city, tiny, f"protocol={protocol}").split
    if protocol != "cold_items":  # nothing is cold in so small a city
        split = replace(split, warm=np.arange(split.sequences.n_items) % 3 > 0)
    cases = cold_cases(split, 0)
    rows = split.sequences.offsets[cases.users] + cases.cuts
    assert len(cases)
    assert not split.train[rows].any()
    assert not split.warm[split.targets(cases)].any()
    assert (cases.cuts > 0).all()
    assert split.late is None or not split.late[split.targets(cases)].any()
    last = dict(zip(split.test.users.tolist(), split.test.cuts.tolist(), strict=True))
    pairs = zip(cases.users.tolist(), cases.cuts.tolist(), strict=True)
    assert all(cut < last.get(user, cut + 1) for user, cut in pairs)


def test_a_release_keeps_what_the_modality_did(
    tasty: Dataset, tiny: TextEncoder, tmp_path: Path
) -> None:
    prepared = prepare_city(tasty, tiny, "training.max_epochs=2")
    model = assemble(prepared, fit(prepared, placement=FP32))
    model.save(tmp_path)
    cases = queries_for(prepared.split.sequences, prepared.split.test, prepared.text.shape[1])
    again = DomainModel.load(tmp_path)
    np.testing.assert_allclose(again.score(cases), model.score(cases), atol=5e-3)


def lenders_in(prepared: Prepared) -> np.ndarray:
    text = unit(prepared.text - prepared.text.mean(axis=0))
    matrix = training_matrix(prepared.split)
    return lending_vectors(prepared, text, matrix, Tuning(prepared.split, 0))


def test_lenders_are_sought_in_a_modality_as_far_as_validation_says(
    tasty: Dataset, tiny: TextEncoder
) -> None:
    prepared = prepare_city(tasty, tiny, "protocol=cold_items")
    width = prepared.text.shape[1]
    assert lenders_in(replace(prepared, modalities={})).shape[1] == width
    telling = np.linalg.norm(lenders_in(prepared)[:, width:], axis=1)
    assert not telling[:10].any()
    assert telling.max() == pytest.approx(WEIGHTS[-1], rel=1e-4)
