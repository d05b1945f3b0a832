"""One training of one domain from data to release, in this process: what the plain run, a worker
of Ray Train (worker.py) and a trial of a search (tuning/search.py) share, so that none drifts.

Leaves to others: the loop (loop.py), where it runs (launch.py).
"""

from __future__ import annotations

import platform
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crossrec.config import Placement, RunConfig
from crossrec.data.dataset import Dataset
from crossrec.data.split import Split
from crossrec.errors import DataError
from crossrec.evaluation.protocols import Evaluation, Part, judge
from crossrec.models.domain_model import DomainModel
from crossrec.models.encoder import Progressing
from crossrec.releases.store import Release, ReleaseStore
from crossrec.training.assemble import assemble
from crossrec.training.loop import EpochReport, Fitted, fit
from crossrec.training.network import State
from crossrec.training.prepare import Prepared, prepare
from crossrec.training.runs import TrainResult, new_run_name


@dataclass(frozen=True)
class Ready:
    """A data set and what was made of it for the loop."""

    dataset: Dataset
    prepared: Prepared


def ready(
    domain: str,
    config: RunConfig,
    *,
    split: Split | None = None,
    on_cluster: bool = False,
    progress: Progressing = False,
) -> Ready:
    """Open the imported data set of `domain` and prepare it for the loop.

    Args:
        split: cases already cut; None: by the config's protocol.
        on_cluster: this is one machine of many, each of which may lack the data.

    Raises:
        DataError: it is not here; on a cluster the message names the machine.
        EncoderError: the encoder cannot be loaded.
    """
    try:
        dataset = Dataset.open(domain)
    except DataError as err:
        if not on_cluster:
            raise
        raise DataError(f"{err} (on machine {platform.node()})") from err
    return Ready(dataset, prepare(dataset, config, split=split, progress=progress))


def finish(
    made: Ready,
    fitted: Fitted,
    run: str,
    started: float,
    *,
    publish: bool = True,
    report: Callable[[str], None] = lambda stage: None,
) -> TrainResult:
    """Assemble the model, judge it on the test cases, and publish the release if asked to.

    Args:
        started: `time.monotonic()` at the beginning.
        report: told each stage in words, for progress.

    Raises:
        ReleaseError: the release could not be written.
    """
    untaught = said_of_untaught(made.prepared, fitted)
    if untaught:
        report(untaught)
    if fitted.choice:
        report(f"{fitted.choice.mode}: {fitted.choice.why}")
    model = assemble(made.prepared, fitted, report=lambda signal: report(f"fitting {signal}"))
    report("judging")
    metrics = judge_model(made.prepared, fitted, model).to_dict()
    metrics |= {"data_hash": made.dataset.content_hash, "run": run}
    if untaught:
        metrics["untaught"] = untaught
    if fitted.choice:
        metrics["mode"] = {"chosen": fitted.choice.mode, "why": fitted.choice.why}
    if made.prepared.coverage:
        metrics["modalities"] = made.prepared.coverage
    if publish:
        report("publishing")
    release = publish_model(made, fitted, model, metrics) if publish else None
    return TrainResult(
        domain=made.prepared.domain.name,
        run=run,
        release=release.version if release else None,
        metrics=metrics,
        history=[dict(epoch) for epoch in fitted.history],
        seconds=time.monotonic() - started,
    )


def said_of_untaught(prepared: Prepared, fitted: Fitted) -> str | None:
    """One sentence where nobody's interactions taught the model anything; else None."""
    if prepared.split.train.any():
        return None
    what = "item texts alone" if fitted.random else "item texts and towers of other domains"
    judged = "" if len(prepared.split.test) else ", and has no figures, for there is no case"
    name = prepared.domain.name
    return f"no interaction of '{name}' was learned from: it ranks by {what}{judged}"


def judge_model(
    prepared: Prepared, fitted: Fitted, model: DomainModel, part: Part = "test"
) -> Evaluation:
    """The assembled model on the cases of its own split; requests as its own adapter reads them."""
    return judge(
        model.score,
        prepared.split,
        part,
        request_dim=prepared.text.shape[1],
        requests=fitted.network.texts.requests(),
        task=prepared.task,
    )


def publish_model(
    made: Ready, fitted: Fitted, model: DomainModel, metrics: dict[str, Any]
) -> Release:
    """A release of a trained model, with its adapter where it has one."""
    prepared = made.prepared
    with tempfile.TemporaryDirectory(prefix="crossrec-") as folder:
        adapter = Path(folder) / "adapter"
        fitted.network.texts.save_adapter(adapter)
        return ReleaseStore().publish(
            model,
            made.dataset,
            prepared.split.sequences,
            metrics,
            encoder_name=prepared.config.encoder,
            encoder_fingerprint=prepared.encoder.fingerprint,
            seed=prepared.config.training.seed,
            adapter_folder=adapter if adapter.is_dir() else None,
        )


def train_here(
    domain: str,
    config: RunConfig,
    placement: Placement | None = None,
    *,
    publish: bool = True,
    start: State | None = None,
    split: Split | None = None,
    on_epoch: Callable[[EpochReport], None] | None = None,
    report: Callable[[str], None] = lambda stage: None,
    progress: Progressing = False,
) -> TrainResult:
    """Train one domain in this process, without Ray.

    Args:
        start: weights to begin with (see transfer.py); None: random ones.
        split: cases already cut; None: by the config's protocol.
        report: told each stage after the epochs, in words.
        progress: of encoding, see `models.encoder.Progressing`.

    Raises:
        CrossrecError: no data, an encoder that cannot be loaded, training that diverged.
    """
    started = time.monotonic()
    made = ready(domain, config, split=split, progress=progress)
    fitted = fit(made.prepared, placement=placement, on_epoch=on_epoch, start=start)
    return finish(made, fitted, new_run_name(), started, publish=publish, report=report)
