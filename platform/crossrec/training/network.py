"""The trainable model of one domain: both towers, biases, and the text they read.

Leaves to others: towers (models/towers.py), steps and stopping (loop.py), batches (windows.py).
Sizes: B windows, T steps, P real targets, N items, W warm items, D model and E text width.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from crossrec.config import Placement
from crossrec.data.split import Split
from crossrec.models.context import distances_km
from crossrec.models.heads import RatingHead
from crossrec.models.losses import choice_cross_entropy, softmax_cross_entropy, squared_error
from crossrec.models.sequence_signal import SequenceSignal
from crossrec.models.towers import ItemTower, UserTower
from crossrec.training.export import Whitening, export_sequence
from crossrec.training.passed_over import drawn_beside
from crossrec.training.prepare import Prepared
from crossrec.training.texts import make_text_table
from crossrec.training.windows import describe_rows

State = dict[str, Tensor]
"""Name of a trained weight → its value."""

_LOCAL = (
    *("items.ids", "items.gate", "items.modalities"),
    *("users.events", "users.context", "bias", "place_weight", "rating"),
)
"""Weights that mean something in their own domain only, by the beginning of their names."""

_OF_USERS = {"short_term": "short", "long_term": "long", "requests": "request"}
"""Parts of the user tower by the names under which settings leave them out."""

WISH_SHARE = 0.15
"""Share of training targets that come with a made-up request for them."""


class Network(nn.Module):
    """Loss of a batch of windows, and export to numpy.

    Only warm items are candidates of the softmax: it would else learn that an item without
    interactions is never right, and cold items could never be recommended.
    """

    def __init__(self, prepared: Prepared, placement: Placement) -> None:
        super().__init__()
        self.prepared = prepared
        self.device = _device(placement)
        self.bf16 = _use_bf16(placement, self.device)
        config, split = prepared.config, prepared.split
        sequences = split.sequences
        counts = np.bincount(sequences.items[split.train], minlength=sequences.n_items)
        self.whitening = Whitening.fit(prepared.text)
        self.texts = make_text_table(prepared, self.device)
        self.rows = describe_rows(split, prepared.context, prepared.clock)
        width = prepared.text.shape[1]
        self.items = ItemTower(
            torch.from_numpy(counts),
            width,
            config.model.dim,
            config.model.id_dropout,
            {name: torch.from_numpy(values) for name, values in prepared.modalities.items()},
            config.model.modality_dropout,
            config.model.use_ids,
            "item_text" not in config.model.without,
        )
        self.users = UserTower(
            dim=config.model.dim,
            text_dim=width,
            n_events=len(sequences.event_names),
            context_dim=prepared.context.dim,
            n_blocks=config.model.n_blocks,
            n_heads=config.model.n_heads,
            max_steps=config.model.history_length,
            dropout=config.model.dropout,
            use_events="events" not in config.model.without,
            without=[part for name, part in _OF_USERS.items() if name in config.model.without],
        )
        self.bias = nn.Parameter(torch.zeros(sequences.n_items))
        self.place_weight = nn.Parameter(torch.tensor(0.0))
        self.rating: RatingHead | None = None
        if prepared.task == "rate":
            mean = float(sequences.ratings[split.train].mean())
            self.rating = RatingHead(config.model.dim, mean)
        weights = rarity_weights(counts, config.training.rarity_weight)
        prior = config.training.popularity_correction * np.log(np.maximum(counts, 1))
        self.prior = torch.from_numpy(prior.astype(np.float32)).to(self.device)
        self.target_weights = torch.from_numpy(weights).to(self.device)
        said = sequences.requests or [""] * len(sequences.items)
        self.said = np.array([float(bool(text)) for text in said])  # (R,) 1: with words
        self.warm = np.flatnonzero(split.warm)
        self.warm_position = np.zeros(sequences.n_items, np.int64)
        self.warm_position[self.warm] = np.arange(len(self.warm))
        self.to(self.device)

    def loss(
        self,
        targets: NDArray[np.int64],
        real: NDArray[np.bool_],
        wished: NDArray[np.float64],
        batch_items: NDArray[np.int64],
        seed: int,
        batch_requests: NDArray[np.int64] | None = None,
    ) -> Tensor:
        """Sum of -w log p(target) over the real targets of a batch, w by `rarity_weight`.

        Args:
            targets: (B, T) row numbers of the split, padded where not `real`.
            wished: (B, T) uniform draws; below WISH_SHARE the target comes with a request.
            batch_items: distinct items of the whole batch, over all processes.
            seed: of id dropout and fresh texts, equal on all processes: they share items.
            batch_requests: distinct wishes of the whole batch, where people really said them.
        """
        sequences = self.prepared.split.sequences
        inputs = self.rows.previous[targets]
        first = np.cumsum(real, axis=1) == 1
        inputs[first] = -1  # a window starts without what lies before it
        present = (inputs >= 0) & real
        items = sequences.items[np.maximum(inputs, 0)]
        target_items = drawn_answers(self.prepared.split, targets, seed)
        generator = torch.Generator().manual_seed(seed)
        text = self.texts.table(batch_items, generator, batch_requests)
        vectors = self.items(text[self._tensor(self.warm)], self._tensor(self.warm), generator)
        asked = wished < (self.said[targets] if self.prepared.requested else WISH_SHARE)
        asked &= "requests" not in self.prepared.config.model.without
        users = self._users(vectors, items, inputs, targets, present, asked)
        users = users.flatten(0, 1)[self._tensor(np.flatnonzero(real))]  # (P, D)
        if self.rating is not None:
            return self._rating_loss(users, vectors, targets[real])
        users = users / self.prepared.config.training.temperature
        bias = (self.bias + self.prior)[self._tensor(self.warm)]
        loss = softmax_cross_entropy(
            users,
            vectors,
            bias,
            self._tensor(self.warm_position[target_items[real]]),
            self.target_weights[self._tensor(target_items[real])],
            offset=self._log_distance(targets[real]),
            offset_weight=-functional.softplus(self.place_weight),
            bf16=self.bf16,
        )
        if self.prepared.split.passed_over is None:
            return loss
        return loss + self._passed_over_loss(users, vectors, bias, targets[real], seed)

    def _passed_over_loss(
        self,
        users: Tensor,
        vectors: Tensor,
        bias: Tensor,
        targets: NDArray[np.int64],
        seed: int,
    ) -> Tensor:
        """Of the targets that were chosen where others were shown, beside those; weighted.

        It is what was taken that stands beside what was not: another right answer of a request may
        never have been shown, and to be shown would then count against an item.
        """
        split, training = self.prepared.split, self.prepared.config.training
        assert split.passed_over is not None
        taken = split.sequences.items[targets].astype(np.int64)
        places, beside = drawn_beside(split.passed_over, targets, taken, split.warm, seed)
        offered = np.concatenate([taken[places, None], beside], axis=1)  # (Q, 1 + DRAWN)
        warm = self._tensor(self.warm_position[np.maximum(offered, 0)])
        at = bias[warm]
        distance = self._log_distance(targets[places])
        if distance is not None:
            at = at - functional.softplus(self.place_weight) * distance.gather(1, warm)
        return training.passed_over_weight * choice_cross_entropy(
            users[self._tensor(places)],
            vectors[warm],
            at,
            self._tensor(offered >= 0),
            self.target_weights[self._tensor(taken[places])],
        )

    def _rating_loss(self, users: Tensor, vectors: Tensor, targets: NDArray[np.int64]) -> Tensor:
        assert self.rating is not None
        sequences = self.prepared.split.sequences
        warm = self._tensor(self.warm_position[sequences.items[targets]])
        bias = self.bias[self._tensor(self.warm)][warm]
        ratings = self._tensor(sequences.ratings[targets])
        return squared_error(self.rating(users, vectors[warm], bias), ratings)

    def _users(
        self,
        vectors: Tensor,
        items: NDArray[np.int32],
        inputs: NDArray[np.int64],
        targets: NDArray[np.int64],
        present: NDArray[np.bool_],
        wished: NDArray[np.bool_],
    ) -> Tensor:
        events = self.prepared.split.sequences.events[np.maximum(inputs, 0)] + 1
        gaps = self.rows.gaps[np.maximum(inputs, 0)] * present
        gaps[:, 1:] *= present[:, :-1]  # the first step of a window follows nothing
        wishes = self.texts.wishes(targets, wished)
        known = self._tensor(present)
        history = vectors[self._tensor(self.warm_position[items])] * known[..., None]
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            users: Tensor = self.users(
                history,
                self._tensor(events.astype(np.int64) * present),
                self._tensor(gaps),
                known,
                wishes,
                self._tensor(wished),
                self._tensor(self.rows.context[targets]),
            )
        return users.float()

    def _log_distance(self, targets: NDArray[np.int64]) -> Tensor | None:
        """(P, W) log(1 + km) from the user's place at the target to each warm item."""
        field = self.prepared.context.place
        if field is None or self.prepared.places is None:
            return None
        here = self.prepared.split.sequences.context[field.name][targets]
        return self._tensor(np.log1p(distances_km(here, self.prepared.places[self.warm])))

    def _tensor(self, array: NDArray[np.generic]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)

    def _place_weight(self) -> float:
        """Weight of log(1 + km); 0 for ratings, whose loss never sees the distance."""
        return 0.0 if self.rating else float(functional.softplus(self.place_weight.detach()))

    def trained_state(self) -> State:
        """Copies of all trained weights."""
        return {
            name: value.detach().cpu().clone()
            for name, value in self.named_parameters()
            if value.requires_grad
        }

    def load_trained_state(self, state: State) -> None:
        """Inverse of `trained_state`; weights that are not in the state stay as they are."""
        parameters = dict(self.named_parameters())
        with torch.no_grad():
            for name, value in state.items():
                parameters[name].copy_(value)

    def export(self) -> SequenceSignal:
        """The sequence signal in numpy, with the weights as they are now."""
        bias = self.bias.detach().cpu().numpy().copy()
        warm = self.prepared.split.warm
        if self.rating is None and warm.any() and not warm.all():
            # An item nobody has had starts like the rarest ones.
            bias[~warm] = np.quantile(bias[warm], 0.1)
        return export_sequence(
            self.items,
            self.users,
            bias,
            self.prepared,
            text=self.texts.vectors(),
            whitening=self.whitening,
            place_weight=self._place_weight(),
            rating=self.rating,
        )


def carried(state: State) -> State:
    """What of a state fits any other domain with the same settings: the text side of items, the
    user tower, LoRA. Ids, biases, modalities, events, context and distance are the domain's own.
    """
    return {name: value for name, value in state.items() if not name.startswith(_LOCAL)}


def rarity_weights(counts: NDArray[np.int64], power: float) -> NDArray[np.float32]:
    """Weight of each item as a target, (N,): count^-power, its mean over all targets 1.

    >>> rarity_weights(np.array([8, 2, 0]), 1.0).tolist()
    [0.625, 2.5, 1.0]
    """
    known = np.maximum(counts, 1).astype(np.float64) ** -power * (counts > 0)
    total = float((known * counts).sum())
    weights = known * counts.sum() / total if total else known
    return np.where(counts > 0, weights, 1).astype(np.float32)


def drawn_answers(split: Split, rows: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """The item of each row; where a request has several right answers, one of them at random.

    In the mean over draws the loss is then that of the even distribution over all of them.
    """
    if split.relevant is None:
        return split.sequences.items[rows].astype(np.int64)
    starts = split.relevant.indptr[rows]
    counts = split.relevant.indptr[rows + 1] - starts
    draws = np.random.default_rng(seed).random(rows.shape)
    chosen = split.relevant.indices[starts + (draws * counts).astype(np.int64)]
    return np.asarray(chosen, np.int64)


def _device(placement: Placement) -> torch.device:
    use = torch.cuda.is_available() if placement.use_gpu == "auto" else placement.use_gpu
    return torch.device("cuda" if use else "cpu")


def _use_bf16(placement: Placement, device: torch.device) -> bool:
    if placement.precision != "auto":
        return placement.precision == "bf16"
    from crossrec.models.encoder import has_bf16

    return has_bf16(device)
