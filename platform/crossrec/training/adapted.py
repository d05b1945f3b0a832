"""Texts that train along: LoRA on the encoder's upper layers, over cached lower layers.

Leaves to others: the layers (models/upper.py), the loss (network.py), the interface (texts.py).
Sizes: N items, Q requests, F texts encoded anew in a step, E text width.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, distributed

from crossrec.models.upper import LayerCache, UpperEncoder
from crossrec.training.prepare import Prepared
from crossrec.training.texts import FrozenTexts

Floats = NDArray[np.float32]

REFRESH_TEXTS = 512


class AdaptedTexts(FrozenTexts):
    """A few texts of each batch are encoded anew, with gradients; the others are as they were
    when last encoded. At the end of an epoch those that validation reads are encoded again.

    They are items and, where people really said something (requests, labelled texts), what they
    said: a label has few words, and what is to be learned is how people put it.

    A LoRA step through one text costs as much as thousands of steps on its vector, so the table
    lets the towers train at full speed while the adapter sees `texts_per_step` texts a step.

    Over several processes each encodes its share of those texts; vectors are gathered before
    the loss and their gradients summed after it, so that the sum is the one-process gradient.
    """

    def __init__(self, prepared: Prepared, device: torch.device) -> None:
        super().__init__(prepared, device)
        config = prepared.config
        self.upper = UpperEncoder(prepared.encoder, config.adapter, config.training.seed)
        self.n_texts = len(prepared.texts)
        self._cache = LayerCache.build(
            prepared.encoder,
            [*prepared.texts, *prepared.wishes],
            config.adapter.n_layers,
            config.model.max_text_tokens,
        )
        self._centre = torch.from_numpy(self.whitening.centre).to(device)
        self._matrix = torch.from_numpy(self.whitening.matrix).to(device)
        self._raw = prepared.text.copy()
        self._raw_wishes = prepared.wish_vectors.copy()
        self._own: Tensor | None = None  # (F / processes, E) this process's share, with its graph
        self._fresh: Tensor | None = None  # (F, E) leaf that the loss's gradients end in
        self._drawn = np.empty(0, np.int64)
        """The F texts of the step: items, and requests counted on from N."""

    def table(
        self,
        items: NDArray[np.int64],
        generator: torch.Generator,
        requests: NDArray[np.int64] | None = None,
    ) -> Tensor:
        """(N, E) whitened; up to `texts_per_step` of both carry gradients: see FrozenTexts."""
        if not self.training:
            return self._table
        said = np.empty(0, np.int64) if requests is None else requests
        texts = np.concatenate([items, self.n_texts + said])
        order = torch.randperm(len(texts), generator=generator).numpy()
        self._drawn = texts[order[: self.prepared.config.adapter.texts_per_step]]
        self._own = self._whiten(self.upper(self._cache.batch(self._drawn[self._mine()])))
        self._fresh = self._gather(self._own.detach()).requires_grad_()
        fresh, places = self._fresh_items()
        return self._table.index_copy(0, places, fresh)

    def wishes(self, rows: NDArray[np.int64], wanted: NDArray[np.bool_]) -> Tensor:
        """(B, T, E) as FrozenTexts; those drawn for the step carry gradients."""
        which = self._wordings(rows)
        known = self._said(which, wanted)
        place = np.full(len(self.prepared.wishes), -1)
        of_requests = np.flatnonzero(self._drawn >= self.n_texts)
        if not self.training or self._fresh is None or not len(of_requests):
            return known
        place[self._drawn[of_requests] - self.n_texts] = of_requests
        place = np.where(wanted, place[which], -1)  # (B, T)
        where = torch.from_numpy(place).to(known.device)
        return torch.where((where >= 0)[..., None], self._fresh[where.clamp(min=0)], known)

    def backward(self) -> None:
        """After the loss's backward: carry the gradients on into LoRA."""
        if self._own is None or self._fresh is None or self._fresh.grad is None:
            return
        gradient = self._fresh.grad
        if distributed.is_initialized():
            distributed.all_reduce(gradient)
        if self._own.requires_grad:  # else this process has no share of them
            torch.autograd.backward(self._own, gradient[self._mine()])
        self._own = None

    def remember(self) -> None:
        """Keep the vectors of the step in the table."""
        if self._fresh is not None:
            fresh, places = self._fresh_items()
            self._table[places] = fresh.detach()
            of_requests = np.flatnonzero(self._drawn >= self.n_texts)
            said = torch.from_numpy(self._drawn[of_requests] - self.n_texts)
            self._wishes[said.to(self._wishes.device)] = self._fresh.detach()[of_requests]
            self._fresh = None

    @torch.no_grad()
    def refresh(self, requests: NDArray[np.int64] | None = None) -> None:
        """Encode all items, and all requests or the given ones, with the adapter as it is.

        Args:
            requests: indices into the wishes; None: all.
        """
        was_training = self.upper.training
        self.upper.eval()
        said = np.arange(len(self.prepared.wishes)) if requests is None else requests
        everything = np.concatenate([np.arange(self.n_texts), self.n_texts + said])
        parts = [
            self._gather(self.upper(self._cache.batch(chunk[self._mine()])))
            for chunk in np.split(
                everything, np.arange(REFRESH_TEXTS, len(everything), REFRESH_TEXTS)
            )
        ]
        vectors = torch.cat(parts)
        self._raw = vectors[: self.n_texts].cpu().numpy()
        self._raw_wishes[said] = vectors[self.n_texts :].cpu().numpy()
        self._table.copy_(self._whiten(vectors[: self.n_texts]))
        where = torch.from_numpy(said).to(self._wishes.device)
        self._wishes[where] = self._whiten(vectors[self.n_texts :])
        self.upper.train(was_training)

    def vectors(self) -> Floats:
        """(N, E) as the adapted encoder gave them at the last refresh."""
        return self._raw

    def wish_vectors(self) -> Floats:
        """(Q, E) of the requests, likewise."""
        return self._raw_wishes

    def save_adapter(self, folder: Path) -> None:
        """Write the PEFT folder."""
        self.upper.save(folder)

    def _whiten(self, vectors: Tensor) -> Tensor:
        return (vectors - self._centre) @ self._matrix

    def _fresh_items(self) -> tuple[Tensor, Tensor]:
        """Vectors of the items among the drawn texts, and their rows in the table."""
        assert self._fresh is not None
        chosen = np.flatnonzero(self._drawn < self.n_texts)
        places = torch.from_numpy(self._drawn[chosen]).to(self._table.device)
        return self._fresh[torch.from_numpy(chosen).to(self._table.device)], places

    def _mine(self) -> slice:
        if not distributed.is_initialized():
            return slice(None)
        return slice(distributed.get_rank(), None, distributed.get_world_size())

    def _gather(self, own: Tensor) -> Tensor:
        """All processes' shares, interleaved as `_mine` took them."""
        if not distributed.is_initialized():
            return own.clone()
        world = distributed.get_world_size()
        sizes = [torch.zeros(1, dtype=torch.long, device=own.device) for _ in range(world)]
        distributed.all_gather(sizes, torch.tensor([len(own)], device=own.device))
        total, longest = int(sum(sizes)), int(max(sizes))
        padded = own.new_zeros(longest, own.shape[1])
        padded[: len(own)] = own
        shares = [torch.empty_like(padded) for _ in range(world)]
        distributed.all_gather(shares, padded)
        return torch.stack(shares, dim=1).flatten(0, 1)[:total]
