"""One encoder, the adapters of all domains, batches that mix domains: what serving runs.

The base weights are multiplied once for the whole batch; each row then adds its own adapter's
low-rank part, gathered from adapters stacked per rank (as in S-LoRA, Sheng et al. 2024,
arXiv:2311.03285, here with plain batched matrix products). Ranks are filled up with zeros to 16,
32 or 64, which changes no figure: up to 16 a product takes the same time whatever its rank, while
each further stack in a batch costs a product of its own. Neither peft nor merging is needed.
Leaves to others: training adapters (upper.py, adapters.py), queues and HTTP (serving/).
Sizes: n texts, T tokens, E dimensions of the encoder, r rank, K adapters of one stack.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from crossrec.errors import EncoderError, UnknownDomainError, suggest
from crossrec.models.adapter_files import LowRank, read_adapter
from crossrec.models.encoder import (
    BATCH_TOKENS,
    TextEncoder,
    Vectors,
    length_batches,
    mean_pool,
    pad,
)
from crossrec.models.layers import shared_copy


@dataclass(frozen=True)
class _Stack:
    """The adapters of one class of ranks at one linear layer."""

    a: Tensor  # (K, in, r)
    b: Tensor  # (K, r, out)
    slots: dict[str, int]
    """Domain → its place in the stack."""


@dataclass(frozen=True)
class _Gathered:
    """What the rows of one batch add at one linear layer, from one stack."""

    rows: Tensor | None  # (m,) rows of the batch; None: all, in order
    a: Tensor  # (m, in, r)
    b: Tensor  # (m, r, out)


Key = tuple[str, int]
"""Module name and class of ranks (16, 32, 64)."""


@dataclass(frozen=True)
class _State:
    """All adapters at one moment; never changed, only replaced whole."""

    domains: tuple[str, ...] = ()
    stacks: dict[Key, _Stack] = field(default_factory=dict)


_active: ContextVar[Mapping[str, list[_Gathered]]] = ContextVar("active")


class MixedEncoder:
    """All adapters resident over one encoder; a batch may mix domains.

    `encode` may run in several threads while adapters are added or removed: each call
    sees the adapters as they were when it began.
    """

    def __init__(self, encoder: TextEncoder) -> None:
        self.encoder = encoder
        self._model = shared_copy(encoder.model)
        self._hooked: set[str] = set()
        self._state = _State()
        self._lock = threading.Lock()

    @property
    def domains(self) -> list[str]:
        """Registered domains, in the order of registration."""
        return list(self._state.domains)

    def add(self, domain: str, folder: Path | None) -> None:
        """Register a domain; `folder` None: it uses the encoder as it is (frozen mode).

        Raises:
            EncoderError: the domain is registered already, or the adapter is missing, damaged
                or made for another encoder; then all is as before.
        """
        adapter = self._read(folder)
        with self._lock:
            if domain in self._state.domains:
                raise EncoderError(f"domain '{domain}' has an adapter already; remove it first")
            self._put(_with(self._state, domain, adapter))

    def remove(self, domain: str) -> None:
        """Forget a domain.

        Raises:
            UnknownDomainError: it is not registered.
        """
        with self._lock:
            _check_known([domain], self._state)
            self._put(_without(self._state, domain))

    def encode(
        self,
        texts: Sequence[str],
        domains: Sequence[str],
        max_tokens: int = 64,
        batch_tokens: int = BATCH_TOKENS,
        on_tokenised: Callable[[], object] = bool,
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
        state = self._state
        _check_known(domains, state)
        pairs = list(dict.fromkeys(zip(texts, domains, strict=True)))
        out = np.zeros((len(pairs), self.encoder.dim), np.float32)
        tokens = self.encoder.tokenize([text for text, _ in pairs], max_tokens)
        lengths = [len(t) if p[0].strip() else 0 for t, p in zip(tokens, pairs, strict=True)]
        on_tokenised()
        with torch.inference_mode():
            for rows in length_batches(lengths, batch_tokens):
                ids, mask = pad([tokens[i] for i in rows], self.encoder.device)
                with _adapters_of(state, [pairs[i][1] for i in rows]):
                    hidden = self._model(input_ids=ids, attention_mask=mask).last_hidden_state
                out[rows] = mean_pool(hidden, mask).cpu().numpy()
        place = {pair: i for i, pair in enumerate(pairs)}
        return out[[place[pair] for pair in zip(texts, domains, strict=True)]]

    def _read(self, folder: Path | None) -> dict[str, LowRank]:
        if folder is None:
            return {}
        weight = next(self._model.parameters())
        return {
            name: LowRank(low.a.to(weight), low.b.to(weight))
            for name, low in read_adapter(folder, self.encoder).items()
        }

    def _put(self, state: _State) -> None:
        """Make `state` current; the one assignment is what other threads see."""
        for name in {module for module, _ in state.stacks} - self._hooked:
            self._model.get_submodule(name).register_forward_hook(partial(_add_low_rank, name))
            self._hooked.add(name)
        self._state = state


def encode_adapted(
    encoder: TextEncoder, adapter: Path, texts: Sequence[str], max_tokens: int
) -> Vectors:
    """Vectors of unit length through one adapter alone: (n, E) float32.

    Raises:
        EncoderError: as in `MixedEncoder.add`.
    """
    mixed = MixedEncoder(encoder)
    mixed.add("adapted", adapter)
    return mixed.encode(texts, ["adapted"] * len(texts), max_tokens)


def _add_low_rank(name: str, module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Any:
    """Forward hook of a linear layer: add each row's own x Aᵀ Bᵀ, in place."""
    (x,) = args  # (B, T, in)
    for part in _active.get().get(name, ()):
        if part.rows is None:
            output.baddbmm_(torch.bmm(x, part.a), part.b)
        else:
            update = torch.bmm(torch.bmm(x[part.rows], part.a), part.b)
            output.index_add_(0, part.rows, update)
    return output


@contextmanager
def _adapters_of(state: _State, domains: list[str]) -> Iterator[None]:
    """Within it, row i of the batch goes through the adapter of `domains[i]`."""
    gathered: dict[str, list[_Gathered]] = {}
    for (module, _), stack in state.stacks.items():
        rows = [i for i, domain in enumerate(domains) if domain in stack.slots]
        if not rows:
            continue
        device = stack.a.device
        slots = torch.tensor([stack.slots[domains[i]] for i in rows], device=device)
        whole = len(rows) == len(domains)
        part = _Gathered(
            None if whole else torch.tensor(rows, device=device),
            stack.a.index_select(0, slots),  # three times as fast as indexing with a tensor
            stack.b.index_select(0, slots),
        )
        gathered.setdefault(module, []).append(part)
    token = _active.set(gathered)
    try:
        yield
    finally:
        _active.reset(token)


def _with(state: _State, domain: str, adapter: dict[str, LowRank]) -> _State:
    """`state` and one domain more; stacks that it does not touch are the same objects."""
    stacks = dict(state.stacks)
    for module, low in adapter.items():
        rank = max(16, 1 << (len(low.a) - 1).bit_length())
        a = functional.pad(low.a.T, (0, rank - len(low.a)))[None]  # (1, in, r)
        b = functional.pad(low.b.T, (0, 0, 0, rank - len(low.a)))[None]  # (1, r, out)
        key = (module, rank)
        old = stacks.get(key)
        if old is None:
            stacks[key] = _Stack(a, b, {domain: 0})
        else:
            slots = old.slots | {domain: len(old.slots)}
            stacks[key] = _Stack(torch.cat([old.a, a]), torch.cat([old.b, b]), slots)
    return _State((*state.domains, domain), stacks)


def _without(state: _State, domain: str) -> _State:
    """`state` and one domain less."""
    stacks = {}
    for key, stack in state.stacks.items():
        kept = [name for name in stack.slots if name != domain]
        if len(kept) == len(stack.slots):
            stacks[key] = stack
        elif kept:
            rows = torch.tensor([stack.slots[name] for name in kept], device=stack.a.device)
            slots = {name: i for i, name in enumerate(kept)}
            stacks[key] = _Stack(stack.a[rows], stack.b[rows], slots)
    return _State(tuple(name for name in state.domains if name != domain), stacks)


def _check_known(domains: Sequence[str], state: _State) -> None:
    for domain in dict.fromkeys(domains):
        if domain not in state.domains:
            raise UnknownDomainError(
                f"the encoder has no domain '{domain}': {suggest(domain, state.domains)}"
            )
