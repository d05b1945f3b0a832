"""Taking weights over: what is carried, what it is worth, and that nothing is hidden."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from crossrec.benchmark import exchange
from crossrec.config import Placement
from crossrec.data.dataset import Dataset
from crossrec.data.importing import import_domain
from crossrec.domains.registry import load_domain
from crossrec.errors import ConfigError
from crossrec.evaluation.protocols import Evaluation
from crossrec.models.encoder import TextEncoder
from crossrec.training.carrying import average, learn_carried, nearness, source_config
from crossrec.training.loop import Trainer, fit
from crossrec.training.prepare import Prepared, prepare
from crossrec.training.transfer import (
    AVERAGE,
    SCRATCH,
    SHARED,
    Attempt,
    Peer,
    ShareReport,
    transfer,
)
from crossrec.training.transfer_chart import frame
from tests.benchmark.test_exchange import LAST_ITEM
from tests.benchmarks.transfer import rows_of, with_scripts
from tests.models.tiny import make_tiny_encoder
from tests.training.small import prepare_city, settings

FP32 = Placement(precision="fp32")


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Another city, under a name of its own."""
    domain = load_domain("restaurants_sim")
    source = domain.source.model_copy(
        update={"options": {"n_users": 50, "n_items": 100, "seed": 7}}
    )
    renamed = domain.model_copy(update={"name": "town", "source": source})
    return import_domain(renamed, tmp_path_factory.mktemp("town"), progress=False)


def as_source(dataset: Dataset, encoder: TextEncoder, *overrides: str) -> Prepared:
    return prepare(dataset, source_config(settings(*overrides), None), encoder=encoder)


def test_sources_learn_together_what_is_carried_and_apart_what_is_their_own(
    city: Dataset, town: Dataset, tiny: TextEncoder
):
    told = []
    sources = [as_source(city, tiny), as_source(town, tiny)]
    state = learn_carried(sources, placement=FP32, on_epoch=told.append)
    assert set(told[0].figures) == {"restaurants_sim", "town"}
    assert not any(name.startswith(("items.ids", "users.events", "bias")) for name in state)
    assert {"items.text.weight", "users.pool.weight"} <= set(state)
    for source in sources:  # it is worth something to both
        trainer = Trainer(source, FP32)
        random = trainer.validate()
        trainer.begin_with(state)
        assert trainer.best > random


def test_a_training_that_begins_with_a_state_is_never_worse_on_validation(
    city: Dataset, town: Dataset, tiny: TextEncoder
):
    state = learn_carried([as_source(town, tiny)], placement=FP32)
    prepared = prepare_city(city, tiny, "training.max_epochs=1", "training.learning_rate=1e-9")
    trainer = Trainer(prepared, FP32)
    trainer.begin_with(state)
    as_it_is = trainer.best
    assert not trainer.network.items.ids.weight.any()
    fitted = fit(prepared, placement=FP32, start=state)  # at a rate that brings nothing
    assert fitted.history[-1]["best"] == as_it_is
    kept = fitted.network.trained_state()
    assert all(torch.equal(kept[name], value) for name, value in state.items())


def test_lora_is_carried_over_too(city: Dataset, town: Dataset, tiny: TextEncoder):
    adapted = ("training.mode=adapted", "training.max_epochs=1")
    state = learn_carried([as_source(town, tiny, *adapted)], placement=FP32)
    lora = [name for name in state if "lora_" in name]
    assert lora
    trainer = Trainer(prepare_city(city, tiny, *adapted), FP32)
    trainer.begin_with(state)
    now = trainer.network.trained_state()
    assert all(torch.equal(now[name], state[name]) for name in lora)


def test_the_average_is_the_mean_and_nearness_is_one_for_the_same_texts():
    states = [{"w": torch.tensor([1.0, 3.0])}, {"w": torch.tensor([3.0, 5.0])}]
    assert average(states)["w"].tolist() == [2, 4]
    text = np.random.default_rng(0).normal(size=(30, 8)).astype(np.float32)
    assert nearness(text, text) == pytest.approx(1, abs=1e-6)
    assert nearness(text, -text[:1]) < 0.5


def test_every_start_is_tried_on_every_share_and_the_choice_is_by_validation(
    city: Dataset, town: Dataset, tmp_path: Path
):
    encoder = str(make_tiny_encoder(tmp_path / "tiny"))
    config = settings("training.max_epochs=2").model_copy(update={"encoder": encoder})
    report = transfer([town], city, config, (0.0, 0.3), placement=FP32)
    assert [one.n_users for one in report.shares] == [0, 18]
    for one in report.shares:
        assert [attempt.start for attempt in one.attempts] == [SCRATCH, "town"]
        assert {attempt.test.n for attempt in one.attempts} == {60}  # the same questions
    nothing, some = report.shares
    assert nothing.near
    assert nothing.chosen.start == "town"
    assert [peer.name for peer in nothing.peers] == ["frozen_text"]
    means = {one.name: one.validation.mean("ndcg@10") for one in some.peers if one.validation}
    assert means[some.best_peer.name] == max(means.values())
    told = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert told["shares"][0]["starts"]["town"]["validation"] is None
    assert "gain_ci95" not in told["shares"][0]["starts"][SCRATCH]
    low, high = told["shares"][1]["starts"]["town"]["gain_ci95"]
    figures = told["shares"][1]["starts"]
    assert low <= figures["town"]["test"] - figures[SCRATCH]["test"] <= high
    table = frame(report)
    assert table.height == 2 * (2 + 1)
    assert table["chosen"].sum() == 2
    shown = table.filter(share="30%", start="town").row(0, named=True)
    assert (shown["gain_low"], shown["gain_high"]) == (low, high)
    assert shown["gain"] == pytest.approx(figures["town"]["test"] - figures[SCRATCH]["test"])
    assert table.filter(pl.col("start") != "town")["gain"].null_count() == 2 * 2


def test_a_start_is_chosen_only_if_it_is_better_by_more_than_its_standard_error():
    def attempt(start: str, ranks: list[int]) -> Attempt:
        judged = Evaluation(
            protocol="leave_one_out",
            part="validation",
            fingerprint="",
            n_items=100,
            ks=(10,),
            users=np.arange(len(ranks)),
            ranks=np.array(ranks),
            warm=np.ones(len(ranks), bool),
            coverage={},
        )
        return Attempt(0.1, start, judged, judged, 0.0)

    scratch = attempt(SCRATCH, [1, 50, 50, 50])
    lucky = attempt("lucky", [50, 1, 2, 50])  # better on the whole, but not surely
    sure = attempt("sure", [1, 2, 2, 2])
    peer = Peer("ease", scratch.validation, scratch.test)
    for attempts, chosen in (([scratch, lucky], SCRATCH), ([scratch, lucky, sure], "sure")):
        assert ShareReport(0.1, 4, attempts, [peer], "sure", True).chosen.start == chosen


def test_several_sources_are_averaged_and_shared_and_known_starts_are_not_learned_again(
    city: Dataset, town: Dataset, tmp_path: Path
):
    encoder = str(make_tiny_encoder(tmp_path / "tiny"))
    config = settings("training.max_epochs=1").model_copy(update={"encoder": encoder})
    third = replace(city, domain=city.domain.model_copy(update={"name": "third"}))
    told: list[str] = []
    first = transfer([town, third], city, config, (0.3,), placement=FP32, tell=told.append)
    assert list(first.starts) == ["town", "third", AVERAGE, SHARED]
    assert any(line.startswith("shared: epoch 1") for line in told)
    told.clear()
    again = transfer(
        [town, third], city, config, (0.3,), starts=first.starts, placement=FP32, tell=told.append
    )
    assert not any("epoch" in line for line in told)
    assert again.to_dict()["shares"][0]["starts"].keys() == {*first.starts, SCRATCH}


def test_scripts_of_peers_learn_from_the_same_users_and_run_once(
    city: Dataset, town: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("CROSSREC_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(exchange, "SCRIPTS", tmp_path)
    monkeypatch.setattr("tests.benchmarks.transfer.SCRIPTED", ("last",))
    (tmp_path / "peers.yaml").write_text("last: {script: last.py, environment: own}")
    users = 'open(__file__ + ".log", "a").write(f"{(np.diff(data[\'train_offsets\']) > 0).sum()} ")'
    (tmp_path / "last.py").write_text(LAST_ITEM + users)
    encoder = str(make_tiny_encoder(tmp_path / "tiny"))
    config = settings("training.max_epochs=1").model_copy(update={"encoder": encoder})
    bare = transfer([town], city, config, (0.0, 0.3), placement=FP32)
    report = with_scripts(with_scripts(bare, city, config), city, config)
    nobody, some = report.shares
    assert [peer.name for peer in nobody.peers] == ["frozen_text"]
    assert [peer.name for peer in some.peers[len(bare.shares[1].peers) :]] == ["last", "last"]
    assert (tmp_path / "last.py.log").read_text() == f"{some.n_users} "  # the second was kept
    baseline, script = some.peers[0], some.peers[-1]
    assert script.test.fingerprint == baseline.test.fingerprint
    assert script.validation is not None
    assert baseline.validation is not None
    assert script.validation.fingerprint == baseline.validation.fingerprint
    assert all("at most 12 epochs" in row["protocol"] for row in rows_of("city", [report]))


@pytest.mark.parametrize("names", [[], ["restaurants_sim"], ["town", "town"]])
def test_sources_are_other_domains_each_once(names: list[str], city: Dataset, town: Dataset):
    sources = [{"town": town, "restaurants_sim": city}[name] for name in names]
    with pytest.raises(ConfigError, match="expected one or more other domains, each once"):
        transfer(sources, city, settings(), (0.0,))
