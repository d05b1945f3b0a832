"""The plain loop: it learns, stops, resumes, and is the same over two processes."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import distributed, multiprocessing

from crossrec.config import Placement
from crossrec.data.dataset import Dataset
from crossrec.errors import TrainingError
from crossrec.evaluation.protocols import judge
from crossrec.models.encoder import TextEncoder
from crossrec.models.signals import PopularitySignal
from crossrec.training.closed_form import popularity
from crossrec.training.loop import EpochReport, fit
from tests.ports import free_port
from tests.training.small import prepare_city

FP32 = Placement(precision="fp32")
MODES = ("frozen", "adapted")


def test_training_lowers_the_loss_and_beats_popularity(city: Dataset, tiny: TextEncoder) -> None:
    prepared = prepare_city(city, tiny, "training.max_epochs=12")
    fitted = fit(prepared, placement=FP32)
    losses = [epoch["loss"] for epoch in fitted.history]
    assert losses[-1] < losses[0] - 0.3
    popular = PopularitySignal(popularity(prepared.split, None))
    ours, theirs = (
        judge(signal.score, prepared.split).mean("ndcg@10")
        for signal in (fitted.sequence(), popular)
    )
    assert ours > 1.2 * theirs


def test_the_same_seed_gives_the_same_run_and_another_seed_another(
    city: Dataset, tiny: TextEncoder
) -> None:
    runs = [
        fit(prepare_city(city, tiny, f"training.seed={s}", "training.max_epochs=2"), placement=FP32)
        for s in (1, 1, 2)
    ]
    losses = [[epoch["loss"] for epoch in run.history] for run in runs]
    assert losses[0] == losses[1]
    assert losses[0] != losses[2]


def test_it_stops_when_validation_no_longer_rises_and_keeps_the_best(
    city: Dataset, tiny: TextEncoder
) -> None:
    prepared = prepare_city(
        city, tiny, "training.max_epochs=40", "training.patience=2", "training.learning_rate=0.05"
    )
    fitted = fit(prepared, placement=FP32)
    scores = [epoch["validation_ndcg@10"] for epoch in fitted.history]
    assert len(scores) < 40
    assert int(np.argmax(scores)) == len(scores) - 3
    kept = judge(fitted.sequence().score, prepared.split, "validation").mean("ndcg@10")
    assert kept == pytest.approx(max(scores), abs=1e-6)


@pytest.mark.parametrize("mode", MODES)
def test_a_resumed_run_ends_like_an_undisturbed_one(
    city: Dataset, tiny: TextEncoder, tmp_path: Path, mode: str
) -> None:
    dropout = ("model.dropout=0.2", "model.id_dropout=0.2", f"training.mode={mode}")
    prepared = prepare_city(city, tiny, *dropout, "training.patience=9")
    whole = fit(prepared, placement=FP32)

    def stop_after_two(report: EpochReport) -> None:
        if report.metrics["epoch"] == 2:
            report.save(tmp_path)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(prepared, placement=FP32, on_epoch=stop_after_two)
    resumed = fit(prepared, placement=FP32, resume=tmp_path)
    keys = ("loss", "validation_ndcg@10")
    for ours, theirs in zip(resumed.history, whole.history, strict=True):
        assert [ours[k] for k in keys] == pytest.approx([theirs[k] for k in keys], rel=1e-4)


def test_a_checkpoint_of_other_settings_is_refused(
    city: Dataset, tiny: TextEncoder, tmp_path: Path
) -> None:
    fit(
        prepare_city(city, tiny, "training.max_epochs=1"),
        placement=FP32,
        on_epoch=lambda report: report.save(tmp_path),
    )
    with pytest.raises(TrainingError, match="resume with the same settings"):
        fit(prepare_city(city, tiny, "training.max_epochs=2"), placement=FP32, resume=tmp_path)
    (tmp_path / "checkpoint.pt").write_bytes(b"half")
    with pytest.raises(TrainingError, match="cannot be read"):
        fit(prepare_city(city, tiny, "training.max_epochs=1"), placement=FP32, resume=tmp_path)
    with pytest.raises(TrainingError, match="no checkpoint"):
        fit(prepare_city(city, tiny), placement=FP32, resume=tmp_path / "nowhere")


def test_a_loss_that_is_no_number_ends_the_run_with_what_to_do(
    city: Dataset, tiny: TextEncoder
) -> None:
    prepared = prepare_city(city, tiny, "training.learning_rate=1e30")
    with pytest.raises(TrainingError, match=r"lower training\.learning_rate"):
        fit(prepared, placement=FP32)


def _worker(rank: int, world: int, port: int, city: str, encoder: str, out: str) -> None:
    torch.set_num_threads(1)
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    distributed.init_process_group("gloo", rank=rank, world_size=world)
    histories = [_train(Path(city), Path(encoder), mode) for mode in MODES]
    Path(out, f"{rank}.json").write_text(json.dumps(histories))
    distributed.destroy_process_group()


def _train(city: Path, encoder: Path, mode: str) -> list[dict[str, float]]:
    prepared = prepare_city(
        Dataset.open(city.name, city.parent),
        TextEncoder.load(encoder, device="cpu", precision="fp32"),
        f"training.mode={mode}",
        "training.max_epochs=2",
    )
    return fit(prepared, placement=FP32).history


def test_two_processes_have_the_loss_of_one(
    city: Dataset, tiny: TextEncoder, tmp_path: Path
) -> None:
    alone = [epoch for mode in MODES for epoch in _train(city.folder, tiny.folder, mode)]
    arguments: tuple[Any, ...] = (2, free_port(), str(city.folder), str(tiny.folder))
    multiprocessing.spawn(_worker, (*arguments, str(tmp_path)), nprocs=2)
    for rank in (0, 1):
        histories = json.loads((tmp_path / f"{rank}.json").read_text())
        together = [epoch for history in histories for epoch in history]
        for ours, theirs in zip(together, alone, strict=True):
            for key in ("loss", "validation_ndcg@10"):
                assert ours[key] == pytest.approx(theirs[key], rel=2e-3)
