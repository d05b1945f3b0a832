"""The mode `auto`: frozen first, then LoRA is tried from there, and kept where validation says so.

Leaves to others: the epochs of both (loop.py), what LoRA trains (adapted.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from crossrec.config import Placement
from crossrec.models.layers import find_layers
from crossrec.training.checkpoint import save_checkpoint
from crossrec.training.loop import Choice, EpochReport, Fitted, Trainer
from crossrec.training.network import State
from crossrec.training.prepare import Prepared
from crossrec.training.windows import make_windows

MAX_TOKENS = 2_000_000
"""Tokens that adapting may run through the whole encoder, in sum (one through two of six layers is
a third; backward is twice forward)."""
PROBE_EPOCHS = 2
"""Adapting ends after so many epochs if none was better than frozen."""

OnEpoch = Callable[[EpochReport], None]


@dataclass(frozen=True)
class Cost:
    """What adapting takes, in tokens that run through the whole encoder."""

    once: float
    """Activations below the adapted layers, of all texts."""
    epoch: float
    """Steps forwards and backwards, then all texts through the adapted layers."""

    @property
    def epochs(self) -> int:
        """As many as MAX_TOKENS leave."""
        return max(0, int((MAX_TOKENS - self.once) / self.epoch))


def fit_chosen(
    prepared: Prepared,
    placement: Placement,
    *,
    on_epoch: OnEpoch | None = None,
    resume: dict[str, Any] | None = None,
    start: State | None = None,
) -> Fitted:
    """Train frozen; then adapted, beginning with those weights; keep the latter if it is better.

    Better is: mean NDCG@10 of the validation cases higher, or the squared error of ratings lower,
    by more than one standard error of the paired difference, the rule by which a start is chosen
    in transfer.py. Both are judged by the towers alone, as early stopping is.

    Args:
        resume: state of a checkpoint of such a run.
        start: weights that the frozen training begins with.
    """
    digest = prepared.config.digest()
    first = Trainer(in_mode(prepared, "frozen"), placement)
    if start is not None:
        first.begin_with(start)
    if resume is not None:
        first.restore(resume["frozen"] or resume)
    first.run(_told(on_epoch, first, digest, None))
    cost = cost_of(prepared)
    if not len(first.validation) or cost.epochs < PROBE_EPOCHS:
        return _chosen(first.result(), "frozen", _untried(first, cost))
    second = Trainer(in_mode(prepared, "adapted", cost.epochs), placement)
    if resume is not None and resume["frozen"]:
        second.restore(resume)
    else:
        second.begin_with(first.best_state)
    _try(second, _told(on_epoch, second, digest, first))
    return _better(first, second)


def _try(second: Trainer, on_epoch: OnEpoch | None) -> None:
    """A few epochs, and the others if one of those was better than the start."""
    second.run(on_epoch, PROBE_EPOCHS - len(second.history))
    if len(second.history) > PROBE_EPOCHS or second.bad_epochs < PROBE_EPOCHS:
        second.run(on_epoch)


def _better(first: Trainer, second: Trainer) -> Fitted:
    before, after = first.each_case(), second.each_case()
    rate = first.prepared.task == "rate"
    gain = before - after if rate else after - before
    error = gain.std() / np.sqrt(len(gain))
    figures = (
        f"in {len(second.history)} epochs from the frozen weights adapting brought"
        f" {gain.mean():+.4f} ± {error:.4f} (standard error, paired) to the validation"
        f" {'squared error, less is better' if rate else 'NDCG@10'} of the towers,"
        f" {before.mean():.4f} over {len(gain):,} cases"
    )
    if gain.mean() > error:
        adapted = second.result()
        adapted.history[:0] = first.history
        return _chosen(adapted, "adapted", figures)
    return _chosen(first.result(), "frozen", figures)


def _chosen(fitted: Fitted, mode: Literal["frozen", "adapted"], why: str) -> Fitted:
    return replace(fitted, choice=Choice(mode, why))


def _untried(first: Trainer, cost: Cost) -> str:
    if not len(first.validation):
        return "adapting was not tried, for there is no validation case to choose by"
    needed = cost.once + PROBE_EPOCHS * cost.epoch
    return (
        f"adapting was not tried, for {PROBE_EPOCHS} epochs of it would run {needed / 1e6:.1f}"
        f" million tokens through the encoder, and {MAX_TOKENS / 1e6:.1f} are allowed"
    )


def in_mode(
    prepared: Prepared, mode: Literal["frozen", "adapted"], max_epochs: int | None = None
) -> Prepared:
    """The same in that mode, with at most so many epochs."""
    training = prepared.config.training
    epochs = min(training.max_epochs, max_epochs or training.max_epochs)
    training = training.model_copy(update={"mode": mode, "max_epochs": epochs})
    return replace(prepared, config=prepared.config.model_copy(update={"training": training}))


def cost_of(prepared: Prepared) -> Cost:
    """What adapting this domain takes."""
    config, encoder = prepared.config, prepared.encoder
    texts = [*prepared.texts, *prepared.wishes]
    lengths = [len(ids) for ids in encoder.tokenize(texts, config.model.max_text_tokens)]
    of_items, total = sum(lengths[: len(prepared.texts)]), sum(lengths)
    upper = config.adapter.n_layers / len(find_layers(encoder.model)[1])
    windows = make_windows(
        prepared.split, config.model.history_length, np.random.default_rng(config.training.seed)
    )
    steps = -(-len(windows) // config.training.batch_size)
    in_steps = steps * config.adapter.texts_per_step * of_items / max(len(prepared.texts), 1)
    return Cost(total * (1 - upper), upper * (3 * in_steps + total))


def _told(
    on_epoch: OnEpoch | None, trainer: Trainer, digest: str, first: Trainer | None
) -> OnEpoch | None:
    """`on_epoch`, with the epochs counted on from those of `first`, and checkpoints that hold its
    state as well and fit the config whose digest that is.
    """
    if on_epoch is None:
        return None
    n_before = len(first.history) if first else 0

    def save(folder: Path) -> None:
        both = {"digest": digest, "frozen": first.state() if first else None}
        save_checkpoint(folder, trainer.state() | both)

    def tell(epoch: EpochReport) -> None:
        on_epoch(EpochReport(epoch.metrics | {"epoch": epoch.metrics["epoch"] + n_before}, save))

    return tell
