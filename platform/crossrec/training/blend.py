"""Learns the fusion's weights on the candidates of validation cases.

Leaves to others: the candidates (candidates.py), applying the weights (models/fusion.py).
Sizes: n cases, N items, C candidates, S signals, F query features.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from crossrec.models.fusion import FEATURES, Fusion
from crossrec.models.neighbour_signals import WordingSignal
from crossrec.training.candidates import Candidates

Floats = NDArray[np.float32]

MAX_STEPS = 60
PRIOR = 0.5
"""Weight of the pull towards the start, in cases: 20 cases bend little, 500 nearly freely."""
START_GAIN, WORDING_START = 0.5, 0.25
"""Alike for all signals but the wording, which says once more what the text says: half as much
beside the text is best, or nearly, on validation of the six domains of `zero_shot` (rows)."""
SOFTNESS = 0.4
"""q of the generalised cross-entropy (1 - p^q) / q: 0 is -log p, 1 is 1 - p. A case whose target
no weights could bring into the top pulls by p^q, so it no longer outweighs those that can."""


def learn_fusion(
    names: list[str],
    candidates: Candidates,
    features: Floats,
    case_weights: Floats,
    evidence: Floats,
    cold: Floats,
    clock: bool,
) -> Fusion:
    """Minimise the weighted mean of (1 - p^q) / q, p the softmax of the target, by L-BFGS with a
    Gaussian prior, from where -log p has its minimum.

    Source of the loss: Zhang & Sabuncu 2018, "Generalized Cross Entropy Loss", eq. 6.

    Args:
        names: S signals.
        candidates: of each case.
        features: (n, F).
        case_weights: (n,) how often each case counts.
        evidence, cold: (N,) as in Fusion.
    """
    parameters = [torch.from_numpy(array).requires_grad_() for array in _start(names)]
    data = _Data(candidates, features, case_weights, evidence, cold)
    start = [parameter.detach().clone() for parameter in parameters]
    for softness in (0.0, SOFTNESS):  # the second alone has several minima
        _descend(parameters, start, data, softness)
    learned = (parameter.detach().numpy().copy() for parameter in parameters)
    gains, lifts, cold_lifts, offsets = learned
    return Fusion(names, gains, lifts, cold_lifts, offsets, evidence, cold, clock)


def even_fusion(names: list[str], evidence: Floats, cold: Floats, clock: bool) -> Fusion:
    """Where learning starts: gains that are the same for every query and item."""
    return Fusion(names, *_start(names), evidence, cold, clock)


def _start(names: list[str]) -> tuple[Floats, Floats, Floats, Floats]:
    """Weights, evidence weights, cold lifts, cold weights: see Fusion."""
    weights = np.zeros((len(names), len(FEATURES)), np.float32)
    gains = [WORDING_START if name == WordingSignal.name else START_GAIN for name in names]
    weights[:, 0] = np.log(np.expm1(gains))
    nothing = np.zeros(len(names), np.float32)
    return weights, nothing, nothing.copy(), np.zeros(len(FEATURES), np.float32)


def _descend(parameters: list[Tensor], start: list[Tensor], data: _Data, softness: float) -> None:
    optimiser = torch.optim.LBFGS(parameters, max_iter=MAX_STEPS, line_search_fn="strong_wolfe")

    def closure() -> Any:
        optimiser.zero_grad()
        pulls = [((p - s) ** 2).sum() for p, s in zip(parameters, start, strict=True)]
        prior = PRIOR / data.n_cases * torch.stack(pulls).sum()
        torch.autograd.backward(prior)
        return prior.detach() + data.backward(parameters, softness)

    optimiser.step(closure)  # type: ignore[no-untyped-call]


class _Data:
    """The cases as tensors; walked over in chunks so that gradients fit in memory."""

    CHUNK_CELLS = 2_000_000

    def __init__(
        self,
        candidates: Candidates,
        features: Floats,
        case_weights: Floats,
        evidence: Floats,
        cold: Floats,
    ) -> None:
        items = np.maximum(candidates.items, 0)
        self.scores = torch.from_numpy(candidates.scores)
        self.log_weights = torch.from_numpy(candidates.log_weights)
        self.evidence = torch.from_numpy(evidence[items])
        self.cold = torch.from_numpy(cold[items])
        self.features = torch.from_numpy(features)
        self.case_weights = torch.from_numpy(case_weights / case_weights.sum())
        self.n_cases = len(features)

    def backward(self, parameters: list[Tensor], softness: float) -> Tensor:
        """The weighted mean loss; its gradients are added to those of the parameters."""
        _, n_candidates, n_signals = self.scores.shape
        size = max(1, self.CHUNK_CELLS // (n_candidates * n_signals))
        total = torch.zeros(())
        for begin in range(0, self.n_cases, size):
            loss = self._loss(slice(begin, begin + size), parameters, softness)
            torch.autograd.backward(loss)
            total += loss.detach()
        return total

    def _loss(self, rows: slice, parameters: list[Tensor], softness: float) -> Tensor:
        weights, evidence_weights, cold_lifts, cold_weights = parameters
        features, cold = self.features[rows], self.cold[rows]
        gains = functional.softplus(features @ weights.T)  # (b, S)
        lifts = torch.exp(
            self.evidence[rows][..., None] * evidence_weights + cold[..., None] * cold_lifts
        )  # (b, C, S)
        mixed = torch.einsum("bs,bcs,bcs->bc", gains, self.scores[rows], lifts)
        mixed = mixed + (features @ cold_weights)[:, None] * cold + self.log_weights[rows]
        surprise = torch.logsumexp(mixed, dim=1) - mixed[:, 0]
        if softness:
            surprise = -torch.expm1(-softness * surprise) / softness
        return (surprise * self.case_weights[rows]).sum()
