"""Weights that one domain lends another: learned on one source or on several at once, averaged.

Leaves to others: the loop of one domain (loop.py), which start suits a target (transfer.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from crossrec.config import Placement, RunConfig
from crossrec.models.text_signals import unit
from crossrec.training.loop import Trainer
from crossrec.training.network import Network, State, carried
from crossrec.training.optimiser import make_optimiser
from crossrec.training.prepare import Floats, Prepared

OVERRIDES = {"use_ids": False, "modalities": "none"}
"""Of the model that is to be carried over: nothing but text tells one of its items from another."""


def source_config(config: RunConfig, max_users: int | None) -> RunConfig:
    """Settings of a source: those of the target, without what cannot be carried over."""
    model = config.model.model_copy(update=OVERRIDES)
    training = config.training.model_copy(update={"max_users": max_users})
    return config.model_copy(update={"model": model, "training": training})


@dataclass(frozen=True)
class Epoch:
    """What `learn_carried` tells after each epoch."""

    number: int
    figures: dict[str, float]
    """Source → NDCG@10 on its validation cases."""


def learn_carried(
    sources: Sequence[Prepared],
    *,
    placement: Placement | None = None,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
) -> State:
    """Train the weights that can be carried over on one source, or on several that share them.

    Of several, each has its own biases, events and context; text side, user tower and LoRA are
    one. A step is of one source, steps come in random order, so each source counts as often as
    it has batches. It ends when the geometric mean of the sources' validation NDCG@10 has not
    risen for `patience` epochs.

    Args:
        sources: prepared with `source_config`.

    Returns:
        State of the best epoch.
    """
    trainers = [Trainer(source, placement or Placement()) for source in sources]
    networks = [trainer.network for trainer in trainers]
    _share(networks)
    optimiser = make_optimiser(networks, trainers[0].config)
    for trainer in trainers:
        trainer.optimiser = optimiser
    training = trainers[0].config.training
    best, best_state, bad_epochs = -math.inf, carried(networks[0].trained_state()), 0
    for number in range(1, training.max_epochs + 1):
        _epoch(trainers, np.random.default_rng((training.seed, number)))
        figures = [trainer.validate() for trainer in trainers]
        names = [source.domain.name for source in sources]
        on_epoch(Epoch(number, dict(zip(names, figures, strict=True))))
        score = float(np.mean(np.log(np.maximum(figures, 1e-6))))
        bad_epochs = 0 if score > best else bad_epochs + 1
        if score > best:
            best, best_state = score, carried(networks[0].trained_state())
        if bad_epochs >= training.patience:
            break
    return best_state


def _share(networks: Sequence[Network]) -> None:
    """Put the first network's weights in place of those of the others that can be carried."""
    first = networks[0]
    for path, parameter in carried(dict(first.named_parameters())).items():
        place, _, name = path.rpartition(".")
        for other in networks[1:]:
            setattr(other.get_submodule(place), name, parameter)


def _epoch(trainers: Sequence[Trainer], rng: np.random.Generator) -> None:
    steps = []
    for trainer in trainers:
        trainer.network.train()
        steps += [(trainer, targets, real) for targets, real in trainer.batches(rng)]
    for place in rng.permutation(len(steps)):
        trainer, targets, real = steps[place]
        trainer.step(targets, real, rng)


def average(states: Sequence[State]) -> State:
    """The mean of each weight (as model soups, Wortsman et al. 2022, but of other domains)."""
    return {name: torch.stack([s[name] for s in states]).mean(0) for name in states[0]}


def nearness(target: Floats, source: Floats) -> float:
    """Mean over the target's items of the cosine of the source's nearest item in text.

    Args:
        target: (N, E) vectors of item texts.
        source: (M, E) likewise, of the same encoder.
    """
    lent = unit(source)
    nearest = [(chunk @ lent.T).max(axis=1) for chunk in np.array_split(unit(target), 16)]
    return float(np.concatenate(nearest).mean())
