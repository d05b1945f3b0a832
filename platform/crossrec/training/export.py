"""From torch towers to the numpy signal that scores; and the whitening of text vectors.

Leaves to others: training the towers (loop.py), scoring (models/sequence_signal.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from crossrec.models.heads import RatingHead
from crossrec.models.sequence import SequenceTower, item_vectors
from crossrec.models.sequence_signal import SequenceSignal
from crossrec.models.towers import UserTower
from crossrec.training.prepare import Prepared

Floats = NDArray[np.float32]

RIDGE = 0.1


@dataclass(frozen=True)
class Whitening:
    """t -> (t - centre) M: the catalogue's texts get mean 0 and about equal variance everywhere.

    As UniSRec (Hou et al. 2022, sec. 3.1.1) does with a learned whitening; ours is closed-form
    PCA whitening with a ridge of a tenth of the mean variance, so that directions without
    variance (a small catalogue) are not blown up.
    """

    centre: Floats  # (E,)
    matrix: Floats  # (E, E)

    @classmethod
    def fit(cls, text: Floats) -> Whitening:
        """From (N, E) text vectors."""
        centre = text.mean(axis=0)
        centred = (text - centre).astype(np.float64)
        variances, axes = np.linalg.eigh(centred.T @ centred / max(len(text), 1))
        scale = 1 / np.sqrt(np.maximum(variances, 0) + RIDGE * variances.mean() + 1e-12)
        matrix = (axes * scale) @ axes.T / np.sqrt(text.shape[1])
        return cls(centre.astype(np.float32), matrix.astype(np.float32))

    def __call__(self, text: Floats) -> Floats:
        """(M, E) → (M, E); rows have a length of about 1."""
        return np.asarray((text - self.centre) @ self.matrix, np.float32)


def export_sequence(
    items: nn.Module,
    users: UserTower,
    bias: Floats,
    prepared: Prepared,
    *,
    text: Floats,
    whitening: Whitening,
    place_weight: float,
    rating: RatingHead | None,
) -> SequenceSignal:
    """The signal in numpy; whitening is folded into the request weights.

    Args:
        bias: (N,).
        text: (N, E) text vectors as the encoder gives them (with the adapter, in adapted mode).
        place_weight: weight of log(1 + km).
        rating: the head of the task `rate`; scores are then ratings.
    """
    tower = _arrays(users.exported())
    request = np.asarray(tower["request.weight"] @ whitening.matrix.T, np.float32)
    tower["request.bias"] = tower["request.bias"] - request @ whitening.centre
    tower["request.weight"] = request
    config = prepared.config
    temperature, user_offset = config.training.temperature, None
    if rating is not None:
        temperature, user_offset, mean = rating.values()
        bias = bias + np.float32(mean)
    return SequenceSignal(
        tower=SequenceTower(tower, config.model.n_heads),
        vectors=item_vectors(_arrays(items.state_dict()), whitening(text)),
        bias=bias,
        context=prepared.context,
        temperature=temperature,
        history_length=config.model.history_length,
        clock=prepared.clock,
        places=prepared.places,
        place_weight=place_weight,
        user_offset=user_offset,
    )


def _arrays(state: Mapping[str, Tensor]) -> dict[str, Floats]:
    return {name: value.detach().float().cpu().numpy().copy() for name, value in state.items()}
