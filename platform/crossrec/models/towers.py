"""The trained half of the model in torch: item tower and user tower.

Leaves to others: text vectors (encoder.py, adapters.py), the loss (losses.py), and scoring
outside training, which is numpy (sequence.py reads these weights; a test holds the two equal).
Sizes: B sequences, T steps, D model width, E text width, C context width, N items, H heads.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from crossrec.models.context import N_GAP_BUCKETS

PARTS = ("short", "long", "request", "context")


class ItemTower(nn.Module):
    """v_i = norm(W t_i + g_i e_i + sum over modalities m of g_im W_m x_im).

    That is adapted text, a gated id embedding, and pictures, sound, prices where there are any.

    The gate g_i = sigmoid(a + b log(1 + n_i)) knows how often item i occurs in training, so an
    id speaks as loudly as its evidence; n_i = 0 (a cold item) closes it altogether.
    **Id dropout** leaves e_i out of a training step at random (as in DropoutNet, Volkovs et al.
    2017, sec. 3.1, per item instead of per pair), so the text part alone stays a fair vector.

    Args:
        counts: (N,) occurrences of each item in training.
        modalities: name → (N, K) rows of a length of about 1, zeros where an item lacks it.
        modality_dropout: chance that an item lacks a modality in a training step.
        use_ids: False: text and modalities only.
        use_text: False: the weights of text are 0 and stay so.
    """

    def __init__(
        self,
        counts: Tensor,
        text_dim: int,
        dim: int,
        id_dropout: float,
        modalities: Mapping[str, Tensor] | None = None,
        modality_dropout: float = 0.0,
        use_ids: bool = True,
        use_text: bool = True,
    ) -> None:
        super().__init__()
        self.id_dropout = id_dropout
        self.modality_dropout = modality_dropout
        self.text = nn.Linear(text_dim, dim, bias=False)
        if not use_text:
            _silence(self.text)
        self.ids = nn.Embedding(len(counts) if use_ids else 0, dim)
        nn.init.normal_(self.ids.weight, std=1.0 / math.sqrt(dim))
        self.gate = nn.Parameter(torch.tensor([0.0, 0.3]))
        self.counts: Tensor
        self.register_buffer("counts", counts.float())
        found = modalities or {}
        self.modalities = nn.ModuleDict({m: GatedModality(x, dim) for m, x in found.items()})

    def open_to_cold(self, share: float) -> None:
        """Let modalities count by `share` (0 to 1) for items without interactions."""
        for name, buffer in self.modalities.named_buffers():
            if name.endswith(".cold"):
                buffer.fill_(share)

    def forward(self, text: Tensor, item_idx: Tensor, generator: torch.Generator | None) -> Tensor:
        """Unit item vectors.

        Args:
            text: (M, E) standardised text vectors.
            item_idx: (M,) which items they are.
            generator: draws id and modality dropout in training.

        Returns:
            (M, D) float32.
        """
        counts = self.counts[item_idx]
        mixed: Tensor = self.text(text)
        if len(self.ids.weight):
            mixed = mixed + self._ids(item_idx, counts, generator)
        for modality in self.modalities.values():
            part = modality(item_idx, counts)
            if self.training and self.modality_dropout > 0:
                kept = torch.rand(counts.shape, generator=generator) >= self.modality_dropout
                part = part * kept.to(part.device)[:, None]
            mixed = mixed + part
        return functional.normalize(mixed, dim=-1)

    def _ids(self, item_idx: Tensor, counts: Tensor, generator: torch.Generator | None) -> Tensor:
        gate = torch.sigmoid(self.gate[0] + self.gate[1] * torch.log1p(counts)) * (counts > 0)
        if self.training and self.id_dropout > 0:
            kept = torch.rand(counts.shape, generator=generator) >= self.id_dropout
            gate = gate * kept.to(gate.device)
        ids: Tensor = self.ids(item_idx)
        return gate[:, None] * ids


def _silence(layer: nn.Linear | nn.Embedding) -> None:
    """Zeros that are not trained: what it says is nothing, here and wherever it is exported."""
    nn.init.zeros_(layer.weight)
    layer.weight.requires_grad_(False)


class GatedModality(nn.Module):
    """g_i W x_i of one modality; g_i = sigmoid(a + b log(1 + n_i)), as the gate of ids has it.

    W starts at zero (as B of LoRA does), so training starts where it would without the modality,
    and draws no random number that would not be drawn else. An item that lacks it adds nothing.
    No item without interactions is seen in training: the share `cold` in which the gate opens for
    those is 0 until validation has chosen one (training/cold_gates.py).
    """

    def __init__(self, features: Tensor, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(dim, features.shape[1]))
        self.gate = nn.Parameter(torch.zeros(2))
        self.cold: Tensor
        self.register_buffer("cold", torch.tensor(0.0))
        self.features: Tensor
        self.register_buffer("features", features.float())

    def forward(self, item_idx: Tensor, counts: Tensor) -> Tensor:
        """(M, D) for items (M,) that occur `counts` (M,) times in training."""
        gate = torch.sigmoid(self.gate[0] + self.gate[1] * torch.log1p(counts))
        gate = gate * torch.where(counts > 0, 1.0, self.cold)
        return gate[:, None] * functional.linear(self.features[item_idx], self.weight)


class Block(nn.Module):
    """Pre-norm causal transformer block with a learned bias per head and distance.

    As SASRec (Kang & McAuley 2018), but positions enter as relative distances (Shaw et al. 2018,
    reduced to a bias), so every step of a training window sees what the last step sees live.
    """

    def __init__(self, dim: int, n_heads: int, max_steps: int, dropout: float) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.norm_attention = nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)
        self.distance = nn.Parameter(torch.zeros(n_heads, max_steps))
        self.norm_mlp = nn.LayerNorm(dim)
        self.up = nn.Linear(dim, 2 * dim)
        self.down = nn.Linear(2 * dim, dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, hidden: Tensor) -> Tensor:
        """x: (B, T, D) → (B, T, D); hidden: (B, 1, T, T) is -inf where attention may not look."""
        batch, steps, dim = x.shape
        q, k, v = (
            self.qkv(self.norm_attention(x))
            .view(batch, steps, 3, self.n_heads, dim // self.n_heads)
            .permute(2, 0, 3, 1, 4)
        )  # each (B, H, T, D/H)
        bias = self.distance[:, distances(steps, x.device)] + hidden  # (B, H, T, T)
        mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        x = x + self.dropout(self.out(mixed.transpose(1, 2).reshape(batch, steps, dim)))
        mlp: Tensor = self.dropout(self.down(functional.gelu(self.up(self.norm_mlp(x)))))
        return x + mlp


def distances(steps: int, device: torch.device) -> Tensor:
    """(T, T) how many steps back s lies from t; 0 above the diagonal, which is hidden anyway."""
    position = torch.arange(steps, device=device)
    return (position[:, None] - position[None, :]).clamp(min=0)


class UserTower(nn.Module):
    """History, request text and context → u, at every step of a sequence.

    short = state of the causal transformer; long = attention pooling with a learned decay per step
    over all steps that it is given (a model gives it the newest `history_length`);
    u = norm(sum over present parts of gate_p P_p part_p). A part that is missing has no weight, so
    any mix of them gives an answer.

    Args:
        n_events: kinds of events; use_events False: an event is an event, of whatever kind.
        without: names out of PARTS that are always missing.
    """

    def __init__(
        self,
        *,
        dim: int,
        text_dim: int,
        n_events: int,
        context_dim: int,
        n_blocks: int,
        n_heads: int,
        max_steps: int,
        dropout: float,
        use_events: bool = True,
        without: Collection[str] = (),
    ) -> None:
        super().__init__()
        self.dim = dim
        self.heard = [part not in without for part in PARTS]
        self.scale = nn.Parameter(torch.tensor(math.sqrt(dim)))
        self.events = nn.Embedding(n_events + 1, dim)  # 0: unknown
        self.gaps = nn.Embedding(N_GAP_BUCKETS, dim)
        nn.init.normal_(self.events.weight, std=0.02)
        nn.init.normal_(self.gaps.weight, std=0.02)
        if not use_events:
            _silence(self.events)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(
            Block(dim, n_heads, max_steps, dropout) for _ in range(n_blocks)
        )
        self.norm = nn.LayerNorm(dim)
        self.pool = nn.Linear(dim, 1)
        self.decay = nn.Parameter(torch.tensor(-2.0))  # softplus(-2) = 0.13 a step
        self.request = nn.Linear(text_dim, dim)
        layers = [nn.Linear(context_dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim)]
        self.context = nn.Sequential(*layers) if context_dim else nn.Identity()
        self.project = nn.ModuleDict({part: nn.Linear(dim, dim, bias=False) for part in PARTS})
        self.gate = nn.Linear(len(PARTS) * dim + len(PARTS), len(PARTS))

    def forward(
        self,
        vectors: Tensor,
        events: Tensor,
        gaps: Tensor,
        present: Tensor,
        request: Tensor,
        has_request: Tensor,
        context: Tensor,
    ) -> Tensor:
        """User vectors after each step.

        Args:
            vectors: (B, T, D) unit item vectors of the history.
            events: (B, T) int, 0 unknown.
            gaps: (B, T) int bucket of the time since the step before.
            present: (B, T) bool, False for padding (on the left).
            request: (B, T, E) request text at the next step; zeros where `has_request` is False.
            has_request: (B, T) bool.
            context: (B, T, C) context of the next step; C = 0 switches the part off.

        Returns:
            (B, T, D) unit vectors.
        """
        x = vectors * self.scale + self.events(events) + self.gaps(gaps)
        x = self.dropout(x)
        hidden = _hidden(present)
        for block in self.blocks:
            x = block(x, hidden)
        short = self.norm(x)
        long = self._pool(vectors * self.scale, short, hidden)
        parts = [short, long, self.request(request), self._context(context, short)]
        has = torch.stack(
            [present, present, has_request, torch.full_like(present, context.shape[-1] > 0)], -1
        )  # (B, T, 4)
        return self._mix(parts, has.to(x.dtype) * torch.tensor(self.heard, device=x.device))

    @torch.no_grad()
    def exported(self) -> dict[str, Tensor]:
        """All weights, with zeros for parts that are left out: whoever computes them (sequence.py
        does) then hears nothing of them.
        """
        state = {name: value.detach().clone() for name, value in self.state_dict().items()}
        for number, (part, heard) in enumerate(zip(PARTS, self.heard, strict=True)):
            if not heard:
                state[f"project.{part}.weight"].zero_()
                state["gate.weight"][:, number * self.dim : (number + 1) * self.dim] = 0
                state["gate.weight"][:, len(PARTS) * self.dim + number] = 0
        return state

    def _pool(self, items: Tensor, state: Tensor, hidden: Tensor) -> Tensor:
        """Attention pooling: weight of step s at t = softmax(pool(state_s) - decay (t - s))."""
        age = distances(items.shape[1], items.device)
        logits = self.pool(state).transpose(1, 2) - functional.softplus(self.decay) * age
        return torch.softmax(logits + hidden[:, 0], dim=-1) @ items

    def _context(self, context: Tensor, like: Tensor) -> Tensor:
        return self.context(context) if context.shape[-1] else torch.zeros_like(like)

    def _mix(self, parts: list[Tensor], has: Tensor) -> Tensor:
        known = [part * has[..., i : i + 1] for i, part in enumerate(parts)]
        gates = torch.sigmoid(self.gate(torch.cat([*known, has], dim=-1))) * has
        mixed = sum(
            gates[..., i : i + 1] * self.project[name](part)
            for i, (name, part) in enumerate(zip(PARTS, known, strict=True))
        )
        return functional.normalize(mixed, dim=-1)


def _hidden(present: Tensor) -> Tensor:
    """Additive mask (B, 1, T, T): the future and padding are -inf.

    A step always sees itself, so that rows of pure padding stay finite.
    """
    steps = present.shape[1]
    position = torch.arange(steps, device=present.device)
    causal = position[:, None] >= position[None, :]
    itself = position[:, None] == position[None, :]
    visible = causal & (present[:, None, :] | itself)
    return torch.zeros(visible.shape, device=present.device).masked_fill(~visible, float("-inf"))[
        :, None
    ]
