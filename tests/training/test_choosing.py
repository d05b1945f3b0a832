"""The mode `auto`: what validation chooses, what it says, and what a cut-off run goes on with."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import torch

from crossrec.config import Placement
from crossrec.data.dataset import Dataset
from crossrec.models.encoder import TextEncoder
from crossrec.training import choosing
from crossrec.training.adapted import AdaptedTexts
from crossrec.training.choosing import Cost, cost_of, in_mode
from crossrec.training.loop import EpochReport, Fitted, Trainer, fit
from crossrec.training.pipeline import Ready, finish
from crossrec.training.prepare import Prepared
from crossrec.training.windows import make_windows
from tests.training.small import prepare_city

FP32 = Placement(precision="fp32")


@pytest.fixture
def auto(city: Dataset, tiny: TextEncoder) -> Prepared:
    return prepare_city(city, tiny, "training.mode=auto", "training.max_epochs=3")


def judged_as(monkeypatch: pytest.MonkeyPatch, frozen: list[float], adapted: list[float]) -> None:
    """Give the validation cases these figures, after what is real has run."""
    real = Trainer.each_case

    def each_case(trainer: Trainer) -> np.ndarray:
        assert len(real(trainer)) == len(trainer.validation)
        return np.array(adapted if trainer.config.training.mode == "adapted" else frozen)

    monkeypatch.setattr(Trainer, "each_case", each_case)


def same(one: Fitted, other: Fitted) -> bool:
    first, second = (fitted.network.trained_state() for fitted in (one, other))
    return first.keys() == second.keys() and all(torch.equal(first[n], second[n]) for n in first)


def test_a_gain_within_the_standard_error_leaves_the_frozen_training_as_it_was(
    auto: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged_as(monkeypatch, [0, 0, 0, 0], [1, -1, 1, 0])  # mean .25, error .83 / 2
    chosen = fit(auto, placement=FP32)
    frozen = fit(in_mode(auto, "frozen"), placement=FP32)
    assert chosen.choice is not None
    assert chosen.choice.mode == "frozen"
    assert "+0.2500 ± 0.4146" in chosen.choice.why
    assert same(chosen, frozen)


def test_a_gain_beyond_the_standard_error_keeps_lora(
    auto: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged_as(monkeypatch, [0, 0, 0, 0], [1, -0.1, 1, 0.5])
    chosen = fit(auto, placement=FP32)
    assert chosen.choice is not None
    assert chosen.choice.mode == "adapted"
    assert isinstance(chosen.network.texts, AdaptedTexts)


def test_adapting_begins_where_frozen_ended_and_is_the_better_of_both_on_validation(
    auto: Prepared,
) -> None:
    told: list[dict[str, float]] = []
    chosen = fit(auto, placement=FP32, on_epoch=lambda epoch: told.append(epoch.metrics))
    assert [metrics["epoch"] for metrics in told] == list(range(1, len(told) + 1))
    assert len(told) > 3  # the three frozen ones, then others
    before, after = told[2]["best"], told[3]["best"]
    assert after >= before - 0.02  # lower layers come from a cache: nearly the same start
    assert chosen.choice is not None
    assert "standard error" in chosen.choice.why


def test_each_case_has_the_mean_that_stopped_the_training(auto: Prepared) -> None:
    trainer = Trainer(in_mode(auto, "frozen"), FP32)
    trainer.run()
    cases = trainer.each_case()
    assert len(cases) == len(trainer.validation)
    assert float(cases.mean()) == pytest.approx(trainer.best, rel=1e-6)


def test_of_ratings_less_error_is_better(city: Dataset, tiny: TextEncoder) -> None:
    rated = prepare_city(city, tiny, "training.mode=auto", "task=rate", "training.max_epochs=1")
    choice = fit(rated, placement=FP32).choice
    assert choice is not None
    assert "squared error, less is better" in choice.why


def test_a_catalogue_that_would_cost_too_much_is_not_adapted(
    auto: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choosing, "MAX_TOKENS", 1000)
    chosen = fit(auto, placement=FP32)
    assert chosen.choice is not None
    assert chosen.choice.mode == "frozen"
    assert "adapting was not tried" in chosen.choice.why
    assert same(chosen, fit(in_mode(auto, "frozen"), placement=FP32))


def test_the_cost_is_of_layers_and_tokens(auto: Prepared) -> None:
    lengths = [len(ids) for ids in auto.encoder.tokenize([*auto.texts, *auto.wishes], 16)]
    cost = cost_of(auto)
    assert cost.once == pytest.approx(sum(lengths) * 2 / 3)  # one of three layers is adapted
    windows = make_windows(auto.split, 12, np.random.default_rng(0))
    steps = -(-len(windows) // 32)
    items = sum(lengths[: len(auto.texts)]) / len(auto.texts)
    assert cost.epoch == pytest.approx((sum(lengths) + 3 * steps * 8 * items) / 3)
    assert Cost(choosing.MAX_TOKENS, 1.0).epochs == 0


@pytest.mark.parametrize("epochs", [2, 5])
def test_a_run_cut_off_in_either_part_ends_as_if_it_had_gone_through(
    auto: Prepared, tmp_path: Path, epochs: int
) -> None:
    whole = fit(auto, placement=FP32)

    class Cut(Exception):
        pass

    def stop(epoch: EpochReport) -> None:
        if epoch.metrics["epoch"] == epochs:
            epoch.save(tmp_path)
            raise Cut

    with pytest.raises(Cut):
        fit(auto, placement=FP32, on_epoch=stop)
    resumed = fit(auto, placement=FP32, resume=tmp_path)
    assert resumed.choice == whole.choice
    assert same(resumed, whole)


def test_what_was_chosen_is_told_and_stands_in_the_result(auto: Prepared, city: Dataset) -> None:
    told: list[str] = []
    fitted = fit(auto, placement=FP32)
    made = Ready(city, auto)
    result = finish(made, fitted, "run", time.monotonic(), publish=False, report=told.append)
    assert fitted.choice is not None
    assert result.metrics["mode"] == {"chosen": fitted.choice.mode, "why": fitted.choice.why}
    assert told[0] == f"{fitted.choice.mode}: {fitted.choice.why}"
    plain = fit(in_mode(auto, "frozen"), placement=FP32)
    assert "mode" not in finish(made, plain, "run", time.monotonic(), publish=False).metrics
