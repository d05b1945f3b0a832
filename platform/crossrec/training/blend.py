"""Learns the fusion's weights on validation cases by a softmax over the catalogue.

Leaves to others: the signals (assemble.py), applying the weights (models/fusion.py).
Sizes: n cases, N items, S signals, F query features.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from crossrec.models.fusion import Fusion

Floats = NDArray[np.float32]

MAX_STEPS = 60
PRIOR = 2.0
"""Weight of the pull towards the start, in cases: 80 cases bend little, 2,000 nearly freely."""
START_GAIN = 0.5


def learn_fusion(
    names: list[str],
    scores: Floats,
    features: Floats,
    targets: NDArray[np.int64],
    allowed: NDArray[np.bool_],
    case_weights: Floats,
    evidence: Floats,
    cold: Floats,
    clock: bool,
) -> Fusion:
    """Minimise the weighted mean of -log softmax(score)[target] with L-BFGS and a Gaussian prior.

    Args:
        names: S signals.
        scores: (S, n, N) standardised.
        features: (n, F).
        targets: (n,) item_idx.
        allowed: (n, N) False for items of the history, which are no candidates.
        case_weights: (n,) how often each case counts.
        evidence, cold: (N,) as in Fusion.
    """
    n_signals, n_cases, _ = scores.shape
    weights = torch.zeros(n_signals, features.shape[1])
    weights[:, 0] = float(np.log(np.expm1(START_GAIN)))
    parameters = [
        weights.requires_grad_(),
        torch.zeros(n_signals, requires_grad=True),
        torch.zeros(n_signals, requires_grad=True),
        torch.zeros(features.shape[1], requires_grad=True),
    ]
    start = [parameter.detach().clone() for parameter in parameters]
    data = _Data(scores, features, targets, allowed, case_weights, evidence, cold)
    optimiser = torch.optim.LBFGS(parameters, max_iter=MAX_STEPS, line_search_fn="strong_wolfe")

    def closure() -> Any:
        optimiser.zero_grad()
        loss = data.loss(*parameters)
        pull = sum(((p - s) ** 2).sum() for p, s in zip(parameters, start, strict=True))
        loss = loss + PRIOR / n_cases * pull
        loss.backward()
        return loss

    optimiser.step(closure)  # type: ignore[no-untyped-call]
    learned = (parameter.detach().numpy().copy() for parameter in parameters)
    gains, lifts, cold_lifts, offsets = learned
    return Fusion(names, gains, lifts, cold_lifts, offsets, evidence, cold, clock)


class _Data:
    """The cases as tensors; `loss` walks over them in chunks so that gradients fit in memory."""

    CHUNK_CELLS = 4_000_000

    def __init__(
        self,
        scores: Floats,
        features: Floats,
        targets: NDArray[np.int64],
        allowed: NDArray[np.bool_],
        case_weights: Floats,
        evidence: Floats,
        cold: Floats,
    ) -> None:
        self.scores = torch.from_numpy(scores)
        self.features = torch.from_numpy(features)
        self.targets = torch.from_numpy(targets)
        self.case_weights = torch.from_numpy(case_weights)
        self.hidden = torch.from_numpy(~allowed)
        self.evidence = torch.from_numpy(evidence)
        self.cold = torch.from_numpy(cold)

    def loss(
        self, weights: Tensor, evidence_weights: Tensor, cold_lifts: Tensor, cold_weights: Tensor
    ) -> Tensor:
        gains = functional.softplus(self.features @ weights.T)  # (n, S)
        lifts = torch.exp(
            evidence_weights[:, None] * self.evidence + cold_lifts[:, None] * self.cold
        )  # (S, N)
        offsets = self.features @ cold_weights  # (n,)
        n_signals, n_cases, n_items = self.scores.shape
        size = max(1, self.CHUNK_CELLS // (n_signals * n_items))
        total = torch.zeros(())
        for start in range(0, n_cases, size):
            rows = slice(start, start + size)
            mixed = torch.einsum("ns,sni,si->ni", gains[rows], self.scores[:, rows], lifts)
            mixed = mixed + offsets[rows, None] * self.cold
            mixed = mixed.masked_fill(self.hidden[rows], float("-inf"))
            losses = functional.cross_entropy(mixed, self.targets[rows], reduction="none")
            total = total + (losses * self.case_weights[rows]).sum()
        return total / self.case_weights.sum()
