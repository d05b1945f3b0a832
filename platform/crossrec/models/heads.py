"""Heads on the towers: what u and v_i are asked for.

`rank` and `classify` share one head, the softmax over the catalogue (losses.py): the labels of
a classification are its items, so cross-entropy over labels is the same formula. `rate` adds
the head below. Leaves to others: the towers (towers.py), the losses (losses.py).
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional


class RatingHead(nn.Module):
    """r(u, i) = mean + b_i + w·u + scale u·v_i.

    Biases and factors as in matrix factorisation (Koren, Bell & Volinsky 2009, eq. 4); the
    user's bias and factors come from the history instead of a table.
    """

    def __init__(self, dim: int, mean: float) -> None:
        super().__init__()
        self.mean = mean
        self.user = nn.Linear(dim, 1, bias=False)
        self.scale = nn.Parameter(torch.tensor(1.0))

    def forward(self, users: Tensor, items: Tensor, bias: Tensor) -> Tensor:
        """Ratings of pairs: (P, D), (P, D), (P,) → (P,)."""
        scale = functional.softplus(self.scale)
        own: Tensor = self.user(users)[:, 0]
        return self.mean + bias + own + scale * (users * items).sum(-1)

    def values(self) -> tuple[float, NDArray[np.float32], float]:
        """Temperature (1 / scale), w (D,) and the mean, for scoring outside training."""
        scale = float(functional.softplus(self.scale.detach()))
        return 1 / scale, self.user.weight.detach().cpu().numpy()[0].copy(), self.mean
