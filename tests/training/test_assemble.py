"""From a fitted network to a domain model, for every task; stored and read back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from crossrec.config import Placement
from crossrec.data.batches import queries_for
from crossrec.data.dataset import Dataset
from crossrec.errors import ConfigError, DataError, ReleaseError
from crossrec.evaluation.protocols import judge
from crossrec.models.domain_model import DomainModel
from crossrec.models.encoder import TextEncoder
from crossrec.models.query import Queries
from crossrec.models.text_signals import unit
from crossrec.training.assemble import _cases, _nearest, assemble
from crossrec.training.loop import Fitted, fit
from crossrec.training.prepare import Prepared, prepare
from tests.training.small import prepare_city, settings

FP32 = Placement(precision="fp32")

Made = tuple[Prepared, Fitted, DomainModel]


@pytest.fixture(scope="module")
def made(city: Dataset, tiny: TextEncoder) -> Made:
    prepared = prepare_city(city, tiny, "training.max_epochs=6")
    fitted = fit(prepared, placement=FP32)
    return prepared, fitted, assemble(prepared, fitted)


def some_queries(prepared: Prepared) -> Queries:
    cases = prepared.split.test
    return queries_for(prepared.split.sequences, cases, prepared.text.shape[1])


def test_the_signals_sum_to_the_score(made: Made) -> None:
    prepared, _, model = made
    queries = some_queries(prepared)
    parts = model.signals(queries)
    assert {"sequence", "collaborative", "text", "popularity"} <= set(parts)
    np.testing.assert_allclose(sum(parts.values()), model.score(queries), atol=1e-4)


def test_the_fused_model_is_about_as_good_as_its_best_signal_or_better(made: Made) -> None:
    prepared, _, model = made
    fused = judge(model.score, prepared.split, "validation").mean("ndcg@10")
    best = max(
        judge(signal.score, prepared.split, "validation").mean("ndcg@10")
        for signal in model.signals_by_name.values()
    )
    assert fused > 0.9 * best  # the fusion minimises a loss, on 60 cases, not NDCG


def test_a_stored_model_scores_as_before_and_a_missing_file_is_named(
    made: Made, tmp_path: Path
) -> None:
    prepared, _, model = made
    model.save(tmp_path)
    again = DomainModel.load(tmp_path)
    queries = some_queries(prepared)
    np.testing.assert_allclose(again.score(queries), model.score(queries), atol=5e-3)
    assert again.request_dim == prepared.text.shape[1]
    (tmp_path / "vocabulary.json").unlink()
    with pytest.raises(ReleaseError, match=r"has no vocabulary\.json"):
        DomainModel.load(tmp_path)


def test_somebody_unknown_gets_an_answer_and_a_request_moves_it(made: Made) -> None:
    prepared, _, model = made
    nobody = Queries(
        items=np.full((1, 1), -1, np.int32),
        times=np.zeros((1, 1), np.int64),
        events=np.full((1, 1), -1, np.int16),
        now=np.array([1_700_000_000]),
        request=np.zeros((1, prepared.text.shape[1]), np.float32),
    )
    scores = model.score(nobody)
    assert np.isfinite(scores).all()
    assert scores.std() > 0
    everybody = nobody.take(np.zeros(len(prepared.text), np.int64))
    asked = model.score(replace(everybody, request=prepared.text))  # each item in its own words
    above_with = (asked > np.diag(asked)[:, None]).sum(axis=1)
    above_without = (scores > scores.T).sum(axis=1)
    assert above_with.mean() < above_without.mean()


def test_context_can_be_switched_off(city: Dataset, tiny: TextEncoder, made: Made) -> None:
    prepared = prepare_city(city, tiny, "model.use_context=false")
    assert prepared.context.fields == []
    assert prepared.context.dim < made[0].context.dim


def test_in_adapted_mode_texts_move_and_the_adapter_gives_the_same_vectors(
    city: Dataset, tiny: TextEncoder, tmp_path: Path
) -> None:
    from crossrec.models.mixed import MixedEncoder

    prepared = prepare_city(city, tiny, "training.mode=adapted", "training.max_epochs=2")
    fitted = fit(prepared, placement=FP32)
    vectors = fitted.network.texts.vectors()
    assert np.abs(vectors - prepared.text).max() > 1e-4
    fitted.network.texts.save_adapter(tmp_path / "adapter")
    mixed = MixedEncoder(tiny)
    mixed.add("city", tmp_path / "adapter")
    again = mixed.encode(prepared.texts[:5], ["city"] * 5, max_tokens=16)
    np.testing.assert_allclose(again, vectors[:5], atol=1e-4)


def requests_dataset(folder: Path, city: Dataset) -> Dataset:
    """Requests for the city's restaurants: the first words of each text."""
    items = city.catalogue()
    texts = items["text"].to_list()
    rows = [
        {"request_id": f"r{i}-{n}", "text": " ".join(text.split()[n : n + 6]), "item_id": item_id}
        | {"split": "test" if n == 3 else "train"}
        for i, (item_id, text) in enumerate(zip(items["item_id"], texts, strict=True))
        for n in range(4)
    ]
    folder.mkdir()
    items.write_parquet(folder / "items.parquet")
    pl.DataFrame(rows).write_parquet(folder / "requests.parquet")
    domain = city.domain.model_copy(update={"context": []})
    return Dataset(folder, domain, "0" * 64, {})


def test_requests_alone_train_and_are_judged_with_their_words(
    city: Dataset, tiny: TextEncoder, tmp_path: Path
) -> None:
    dataset = requests_dataset(tmp_path / "asked", city)
    prepared = prepare(dataset, settings("training.max_epochs=25"), encoder=tiny)
    fitted = fit(prepared, placement=FP32)
    model = assemble(prepared, fitted)
    requests = fitted.network.texts.requests()
    figures = judge(model.score, prepared.split, requests=requests)
    silent = judge(model.score, prepared.split, request_dim=prepared.text.shape[1])
    assert prepared.split.protocol == "requests"
    assert figures.mean("ndcg@10") > 1.5 * silent.mean("ndcg@10")


def test_ratings_are_predicted_better_than_by_their_mean(
    city: Dataset, tiny: TextEncoder, tmp_path: Path
) -> None:
    folder = tmp_path / "rated"
    folder.mkdir()
    interactions = city.scan("interactions").collect()
    generous = interactions["user_id"].hash(0) % 2
    interactions.with_columns((2.0 + 2 * generous).cast(pl.Float32).alias("rating")).write_parquet(
        folder / "interactions.parquet"
    )
    city.catalogue().write_parquet(folder / "items.parquet")
    dataset = Dataset(folder, city.domain, "0" * 64, {})
    prepared = prepare(
        dataset,
        settings("task=rate", "training.max_epochs=25", "training.patience=25"),
        encoder=tiny,
    )
    fitted = fit(prepared, placement=FP32)
    model = assemble(prepared, fitted)
    figures = judge(model.score, prepared.split, task="rate").task_figures
    assert model.signals_by_name["sequence"].place_weight == 0  # distance changes no rating
    assert figures["rmse"] < 0.3  # the mean, 3, is wrong by 1 for everybody
    model.save(tmp_path)
    queries = some_queries(prepared)
    np.testing.assert_allclose(
        DomainModel.load(tmp_path).score(queries), model.score(queries), atol=1e-4
    )


def test_labels_need_texts(city: Dataset, tiny: TextEncoder) -> None:
    with pytest.raises(DataError, match="has no texts with labels"):
        prepare(city, settings("task=classify"), encoder=tiny)


@pytest.mark.parametrize("setting", ["rarity_weight=0.5", "cold_case_weight=1"])
def test_a_setting_of_ranking_is_refused_where_ratings_are_learned(
    city: Dataset, tiny: TextEncoder, setting: str
) -> None:
    chosen = settings("task=rate", f"training.{setting}")
    with pytest.raises(ConfigError, match=f"training.{setting}.* does nothing in the task 'rate'"):
        prepare(city, chosen, encoder=tiny)


def test_a_rating_task_without_ratings_says_so(
    city: Dataset, tiny: TextEncoder, tmp_path: Path
) -> None:
    folder = tmp_path / "unrated"
    folder.mkdir()
    unrated = city.scan("interactions").with_columns(pl.lit(None, pl.Float32).alias("rating"))
    unrated.collect().write_parquet(folder / "interactions.parquet")
    city.catalogue().write_parquet(folder / "items.parquet")
    with pytest.raises(DataError, match="rows have no rating"):
        prepare(Dataset(folder, city.domain, "0" * 64, {}), settings("task=rate"), encoder=tiny)


def test_the_fusion_is_asked_in_words_made_up_for_a_near_item(
    city: Dataset, tiny: TextEncoder
) -> None:
    prepared = prepare_city(city, tiny)
    items = np.arange(prepared.split.sequences.n_items)
    near = _nearest(prepared, items)
    assert (near != items).all()
    assert prepared.split.warm[near].all()
    centred = unit(prepared.text - prepared.text.mean(axis=0))
    similar = centred @ centred.T
    np.fill_diagonal(similar, -1)
    similar[:, ~prepared.split.warm] = -1
    np.testing.assert_allclose(similar[items, near], similar.max(axis=1), atol=1e-6)
    queries, targets = _cases(prepared, prepared.wish_vectors)
    asked = [(row, words) for row, words in enumerate(queries.words or ()) if words]
    assert asked
    for row, words in asked:
        made_for = {wish % len(items) for wish, said in enumerate(prepared.wishes) if said == words}
        assert near[targets[row]] in made_for
