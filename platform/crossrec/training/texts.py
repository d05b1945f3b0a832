"""Item texts as the network reads them: constant in frozen mode, trained along in adapted mode.

Leaves to others: LoRA and the cached lower layers (models/adapters.py).
Sizes: N items, Q requests, E text width, B windows, T steps.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from crossrec.training.export import Whitening
from crossrec.training.prepare import Prepared

Floats = NDArray[np.float32]


class FrozenTexts(nn.Module):
    """Vectors of the encoder as it comes: frozen mode, and the interface of both."""

    def __init__(self, prepared: Prepared, device: torch.device) -> None:
        super().__init__()
        self.prepared = prepared
        self.whitening = Whitening.fit(prepared.text)
        self._table = torch.from_numpy(self.whitening(prepared.text)).to(device)
        self._wishes = torch.from_numpy(self.whitening(prepared.wish_vectors)).to(device)

    def table(
        self,
        items: NDArray[np.int64],
        generator: torch.Generator,
        requests: NDArray[np.int64] | None = None,
    ) -> Tensor:
        """(N, E) whitened; in adapted mode some of `items` carry gradients.

        Args:
            items: distinct items of the batch.
            generator: draws those, equal on all processes.
            requests: distinct indices into the wishes of the batch, where people really said
                them: some carry gradients too, in the `wishes` that are asked for next.
        """
        return self._table

    def wishes(self, rows: NDArray[np.int64], wanted: NDArray[np.bool_]) -> Tensor:
        """(B, T, E) whitened request vectors of rows (B, T), zero where not wanted."""
        return self._said(self._wordings(rows), wanted)

    def _wordings(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Which wish each row comes with: its own, or in training now and then reworded."""
        own, other = self.prepared.wish_of_row[rows], self.prepared.reworded
        if other is None or not self.training:
            return own
        return np.where(torch.rand(rows.shape).numpy() < 0.5, own, other[rows])

    def _said(self, which: NDArray[np.int64], wanted: NDArray[np.bool_]) -> Tensor:
        device = self._wishes.device
        known = self._wishes[torch.from_numpy(which).to(device)]
        return known * torch.from_numpy(wanted).to(device)[..., None]

    def vectors(self) -> Floats:
        """(N, E) as the encoder gives them, not whitened."""
        return self.prepared.text

    def wish_vectors(self) -> Floats:
        """(Q, E) of the requests, not whitened."""
        return self.prepared.wish_vectors

    def backward(self) -> None:
        """After the loss's backward: nothing to carry on."""

    def requests(self) -> Floats | None:
        """(R, E) what was said before each row, as the encoder gives it; None: nothing was."""
        if not self.prepared.requested:
            return None
        return self.wish_vectors()[self.prepared.wish_of_row]

    def remember(self) -> None:
        """After a step: nothing changes."""

    def refresh(self, requests: NDArray[np.int64] | None = None) -> None:
        """Nothing changes."""

    def save_adapter(self, folder: Path) -> None:
        """Write the PEFT folder, if there is an adapter."""


def make_text_table(prepared: Prepared, device: torch.device) -> FrozenTexts:
    """The table that the config's mode asks for."""
    if prepared.config.training.mode == "adapted":
        from crossrec.training.adapted import AdaptedTexts

        return AdaptedTexts(prepared, device)
    return FrozenTexts(prepared, device)
