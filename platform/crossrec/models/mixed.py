"""One encoder, the adapters of all domains, batches that mix domains: what serving runs.

The base weights are multiplied once for the whole batch; the texts of one adapter lie side by
side in it, and its low-rank part is added to their tokens alone (as in S-LoRA, Sheng et al. 2024,
arXiv:2311.03285, whose kernel gathers adapters row by row; on two cores a small product a segment
takes less). Neither peft nor merging is needed.
Leaves to others: training adapters (upper.py, adapters.py), how texts lie in a pass (passes.py),
queues and HTTP (serving/).
Sizes: n texts, E dimensions of the encoder, r rank.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from crossrec.errors import EncoderError, UnknownDomainError, suggest
from crossrec.models.adapter_files import read_adapter
from crossrec.models.encoder import Progressing, TextEncoder, Vectors, track
from crossrec.models.layers import shared_copy
from crossrec.models.passes import BATCH_TOKENS, is_packed, length_batches, pooled, tokens_of

Adapter = Mapping[str, tuple[Tensor, Tensor]]
"""Module name → Aᵀ (in, r) and Bᵀ (r, out), times the scale."""


@dataclass(frozen=True)
class _Segment:
    """Tokens of one pass, side by side, that go through the same adapter."""

    tokens: slice
    adapter: Adapter


_active: ContextVar[Sequence[_Segment]] = ContextVar("active")


class MixedEncoder:
    """All adapters resident over one encoder; a batch may mix domains.

    `encode` may run in several threads while adapters are added or removed: each call
    sees the adapters as they were when it began.
    """

    def __init__(self, encoder: TextEncoder) -> None:
        self.encoder = encoder
        self._model = shared_copy(encoder.model)
        self._hooked: set[str] = set()
        self._adapters: Mapping[str, Adapter] = {}  # never changed, only replaced whole
        self._lock = threading.Lock()

    @property
    def domains(self) -> list[str]:
        """Registered domains, in the order of registration."""
        return list(self._adapters)

    def add(self, domain: str, folder: Path | None) -> None:
        """Register a domain; `folder` None: it uses the encoder as it is (frozen mode).

        Raises:
            EncoderError: the domain is registered already, or the adapter is missing, damaged
                or made for another encoder; then all is as before.
        """
        adapter = self._read(folder)
        with self._lock:
            if domain in self._adapters:
                raise EncoderError(f"domain '{domain}' has an adapter already; remove it first")
            for name in adapter.keys() - self._hooked:
                self._model.get_submodule(name).register_forward_hook(partial(_add_low_rank, name))
                self._hooked.add(name)
            self._adapters = {**self._adapters, domain: adapter}

    def remove(self, domain: str) -> None:
        """Forget a domain.

        Raises:
            UnknownDomainError: it is not registered.
        """
        with self._lock:
            _check_known([domain], self._adapters)
            self._adapters = {name: a for name, a in self._adapters.items() if name != domain}

    def encode(
        self,
        texts: Sequence[str],
        domains: Sequence[str],
        max_tokens: int = 64,
        batch_tokens: int = BATCH_TOKENS,
        on_tokenised: Callable[[], object] = bool,
        progress: Progressing = False,
    ) -> Vectors:
        """Vectors of unit length: (n, E) float32, text i through the adapter of `domains[i]`.

        Equal pairs of text and domain are encoded once. A blank text is a row of zeros.
        `on_tokenised` is called between tokenising and encoding, for whoever times them.

        Raises:
            UnknownDomainError: a domain is not registered (never the base encoder's answer).
        """
        if len(texts) != len(domains):
            raise EncoderError(
                f"got {len(texts)} texts and {len(domains)} domains; expected a domain a text"
            )
        adapters = self._adapters
        _check_known(domains, adapters)
        pairs = list(dict.fromkeys(zip(texts, domains, strict=True)))
        out = np.zeros((len(pairs), self.encoder.dim), np.float32)
        tokens = self.encoder.tokenize([text for text, _ in pairs], max_tokens)
        lengths = [len(t) if p[0].strip() else 0 for t, p in zip(tokens, pairs, strict=True)]
        on_tokenised()
        with torch.inference_mode():
            batches = length_batches(lengths, batch_tokens, is_packed(self._model))
            for batch in track(batches, "encode texts", sum(map(len, batches)), progress):
                rows = sorted(batch, key=lambda row: pairs[row][1])
                ids = [tokens[row] for row in rows]
                chosen = [adapters[pairs[row][1]] for row in rows]
                with _through(chosen, tokens_of(self._model, ids)):
                    out[rows] = pooled(self._model, ids).cpu().numpy()
        place = {pair: i for i, pair in enumerate(pairs)}
        return out[[place[pair] for pair in zip(texts, domains, strict=True)]]

    def _read(self, folder: Path | None) -> Adapter:
        if folder is None:
            return {}
        weight = next(self._model.parameters())
        # On a CPU small products take a fourth of the time in single precision.
        kind = torch.float32 if weight.device.type == "cpu" else weight.dtype
        like = weight.new_empty(0, dtype=kind)
        return {
            name: (low.a.T.contiguous().to(like), low.b.T.contiguous().to(like))
            for name, low in read_adapter(folder, self.encoder).items()
        }


def encode_adapted(
    encoder: TextEncoder,
    adapter: Path,
    texts: Sequence[str],
    max_tokens: int,
    progress: Progressing = False,
) -> Vectors:
    """Vectors of unit length through one adapter alone: (n, E) float32.

    Raises:
        EncoderError: as in `MixedEncoder.add`.
    """
    mixed = MixedEncoder(encoder)
    mixed.add("adapted", adapter)
    return mixed.encode(texts, ["adapted"] * len(texts), max_tokens, progress=progress)


def _add_low_rank(name: str, module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Any:
    """Forward hook of a linear layer: add each segment's own x Aᵀ Bᵀ, in place."""
    x, y = args[0].flatten(0, -2), output.flatten(0, -2)  # (N, in), (N, out)
    for segment in _active.get():
        if low := segment.adapter.get(name):
            a, b = low
            y[segment.tokens] += x[segment.tokens].to(a.dtype) @ a @ b
    return output


@contextmanager
def _through(adapters: Sequence[Adapter], n_tokens: Sequence[int]) -> Iterator[None]:
    """Within it, the next `n_tokens[i]` rows of every linear layer go through `adapters[i]`."""
    segments: list[_Segment] = []
    start = 0
    for adapter, n in zip(adapters, n_tokens, strict=True):
        if segments and segments[-1].adapter is adapter:
            before = segments.pop().tokens.start
        else:
            before = start
        start += n
        segments.append(_Segment(slice(before, start), adapter))
    token = _active.set(segments)
    try:
        yield
    finally:
        _active.reset(token)


def _check_known(domains: Sequence[str], known: Iterable[str]) -> None:
    for domain in dict.fromkeys(domains):
        if domain not in known:
            raise UnknownDomainError(
                f"the encoder has no domain '{domain}': {suggest(domain, known)}"
            )
