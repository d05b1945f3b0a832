"""From a trained network to the domain model: closed-form signals, then the fusion.

Leaves to others: training (loop.py), fitting each signal (closed_form.py), storing (releases/).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from crossrec.data.batches import queries_for
from crossrec.data.split import Split
from crossrec.errors import ConfigError
from crossrec.evaluation.protocols import judge
from crossrec.models.domain_model import OF_REQUESTS, DomainModel
from crossrec.models.fusion import Fusion, query_features
from crossrec.models.lexical import AskedSignal
from crossrec.models.neighbour_signals import WordingSignal
from crossrec.models.query import Queries
from crossrec.models.rating_profile import RatingMix
from crossrec.models.sequence_signal import SequenceSignal
from crossrec.models.signal import Signal
from crossrec.models.signals import SIGNALS
from crossrec.models.text_signals import RequestSignal, TextSignal, unit
from crossrec.training.blend import even_fusion, learn_fusion
from crossrec.training.candidates import gather
from crossrec.training.closed_form import fit_closed_form
from crossrec.training.loop import Fitted
from crossrec.training.network import drawn_answers
from crossrec.training.prepare import Prepared
from crossrec.training.rating_fit import fit_ratings

Floats = NDArray[np.float32]

OF_TEXTS = (TextSignal.name, WordingSignal.name, RequestSignal.name)
"""Signals that somebody's interactions teach nothing but parameters with good defaults."""
MAX_BLEND_CASES = 4000
MAX_CHOICE_CASES = 2000
ANSWERS = 3
"""Right answers drawn for each request of validation that has several."""
WISH_COPIES, BARE_COPIES = 0.25, 0.1
"""Shares of the cases that come once more with a made-up request, or without any history."""


def assemble(
    prepared: Prepared, fitted: Fitted, *, report: Callable[[str], None] = lambda step: None
) -> DomainModel:
    """The model that evaluate, serve and explain run; item texts alone where nothing was learned.

    Args:
        report: told the name of each step, for progress.
    """
    report("sequence")
    texts = fitted.network.texts
    signals: list[Signal] = [fitted.sequence()]
    if prepared.task == "rate":
        return _model(prepared, *fit_ratings(prepared, signals[0], report))
    signals += fit_closed_form(prepared, texts.vectors(), report)
    order = [one.name for one in SIGNALS]
    signals.sort(key=lambda signal: order.index(signal.name))
    report("fusion")
    model = mixed(prepared, signals, texts.wish_vectors())
    return texts_alone(model) if fitted.random else model


def mixed(prepared: Prepared, signals: list[Signal], wish_vectors: Floats) -> DomainModel:
    """The model of these signals, less those that the settings leave out, mixed by a new fusion.

    The towers' signal stays where it is left out of the fusion: what a request's vector is like
    stands there.

    Raises:
        ConfigError: no signal is left.
    """
    without = prepared.config.model.without
    heard = [signal for signal in signals if not _left_out(signal, without)]
    if not heard:
        raise ConfigError(f"model.without={without} leaves no signal; leave one of them in")
    found = _blended(prepared, signals[0], heard, wish_vectors)
    fewer = [signal for signal in heard if signal.name != WordingSignal.name]
    if len(fewer) == len(heard) or not fewer or not len(prepared.split.validation):
        return found
    plain = _blended(prepared, signals[0], fewer, wish_vectors)
    return found if _better(prepared, found, plain) else plain


def _blended(
    prepared: Prepared, towers: Signal, heard: list[Signal], wish_vectors: Floats
) -> DomainModel:
    fusion = blend(prepared, heard, wish_vectors)
    return _model(prepared, [towers, *(signal for signal in heard if signal is not towers)], fusion)


def _better(prepared: Prepared, model: DomainModel, plain: DomainModel) -> bool:
    """Whether a model is better on validation by more than a standard error of the difference,
    the rule by which a start is chosen in transfer.py: what says little costs time and room.
    """
    cases, rng = prepared.split.validation, np.random.default_rng(prepared.config.training.seed)
    drawn = cases.take(np.sort(rng.permutation(len(cases))[:MAX_CHOICE_CASES]))
    split, width = replace(prepared.split, validation=drawn), prepared.text.shape[1]
    found, other = (
        judge(one.score, split, "validation", request_dim=width).values("ndcg@10")
        for one in (model, plain)
    )
    gain = found - other
    return bool(gain.mean() > gain.std() / np.sqrt(len(gain)))


def texts_alone(model: DomainModel) -> DomainModel:
    """What is left of a model that nobody has taught anything: what item texts say of a history,
    and of a request.

    Raises:
        ConfigError: the settings leave out all of them.
    """
    fusion = model.fusion
    assert isinstance(fusion, Fusion), "the tasks that rank have one"
    names = [name for name in model.signals_by_name if name in OF_TEXTS]
    if not names:
        raise ConfigError(
            f"model.without={model.config.model.without} leaves no signal of item texts, and"
            f" nothing else is known of '{model.domain.name}'; leave one of them in:"
            f" {', '.join(OF_TEXTS)}"
        )
    kept = [name for name in model.signals_by_name if name in (SequenceSignal.name, *names)]
    return replace(
        model,
        signals_by_name={name: model.signals_by_name[name] for name in kept},
        fusion=even_fusion(names, fusion.evidence, fusion.cold, fusion.clock),
    )


def _left_out(signal: Signal, without: Sequence[str]) -> bool:
    of_words = isinstance(signal, OF_REQUESTS) or signal.name == AskedSignal.name
    return signal.name in without or (of_words and "requests" in without)


def _model(prepared: Prepared, signals: list[Signal], fusion: Fusion | RatingMix) -> DomainModel:
    by_name = {signal.name: signal for signal in signals}
    return DomainModel(prepared.domain, prepared.config, prepared.vocabulary, by_name, fusion)


def blend(prepared: Prepared, signals: list[Signal], wish_vectors: Floats) -> Fusion:
    """Learn the fusion on validation cases; without any, all signals speak alike.

    As they are, with a made-up request, and without history, so that somebody unknown gets a
    sensible answer as well.
    """
    split, names = prepared.split, [signal.name for signal in signals]
    counts = np.bincount(split.sequences.items[split.train], minlength=split.sequences.n_items)
    evidence = np.log1p(counts) / max(np.log1p(counts.max()), 1e-9) * 2 - 1
    evidence, cold = evidence.astype(np.float32), (~split.warm).astype(np.float32)
    if not len(split.validation):
        return even_fusion(names, evidence, cold, prepared.clock)
    training = prepared.config.training
    queries, targets = _cases(prepared, wish_vectors)
    return learn_fusion(
        names,
        gather(signals, queries, targets, partial(_allowed, split), len(counts), training.seed),
        query_features(queries, prepared.clock),
        np.where(split.warm[targets], 1, training.cold_case_weight).astype(np.float32),
        evidence,
        cold,
        prepared.clock,
    )


def _allowed(split: Split, queries: Queries, targets: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Items of the catalogue outside the history and inside the target's pool: (B, N)."""
    allowed = np.ones((len(queries), split.sequences.n_items), bool)
    rows, steps = np.nonzero(queries.items >= 0)
    allowed[rows, queries.items[rows, steps]] = False
    if split.late is not None:
        allowed &= ~split.late
    if split.pools is not None:
        allowed &= split.pools == split.pools[targets][:, None]
    return allowed


def _cases(prepared: Prepared, wish_vectors: Floats) -> tuple[Queries, NDArray[np.int64]]:
    split = prepared.split
    rng = np.random.default_rng(prepared.config.training.seed)
    answers = ANSWERS if split.relevant is not None else 1
    limit = MAX_BLEND_CASES // answers
    chosen = np.sort(rng.permutation(len(split.validation))[:limit])
    cases = split.validation.take(chosen)
    targets = split.targets(cases).astype(np.int64)
    rows = split.sequences.target_rows(cases)
    if "requests" in prepared.config.model.without:
        return queries_for(split.sequences, cases, wish_vectors.shape[1]), targets
    wished = prepared.wish_of_row[rows]
    if not prepared.requested:
        wished = wished + _nearest(prepared, targets) - targets
    said, words = wish_vectors[wished], tuple(prepared.wishes[wish] for wish in wished)
    plain = queries_for(split.sequences, cases, wish_vectors.shape[1])
    if prepared.requested:
        asked = replace(plain, request=said, words=words)
        again = asked.take(np.tile(np.arange(len(rows)), answers))
        return again, drawn_answers(split, np.tile(rows, answers), int(rng.integers(2**31)))
    return _with_copies(replace(plain, words=words), said, targets, rng)


def _nearest(prepared: Prepared, items: NDArray[np.int64]) -> NDArray[np.int64]:
    """The warm item nearest in text to each of the items, never itself: (n,).

    The towers are trained on requests made up for the very item. Asked so again, they would look
    far better than they are for people, who do not quote an item's text; a request made up for a
    near item is as right, and in other words.
    """
    centred = unit(prepared.text - prepared.text.mean(axis=0))
    warm = np.flatnonzero(prepared.split.warm)
    found = np.empty_like(items)
    for rows in np.array_split(np.arange(len(items)), len(items) // 512 + 1):
        similar = centred[items[rows]] @ centred[warm].T
        similar[warm == items[rows][:, None]] = -np.inf
        found[rows] = warm[similar.argmax(axis=1)]
    return found


def _with_copies(
    plain: Queries, said: Floats, targets: NDArray[np.int64], rng: np.random.Generator
) -> tuple[Queries, NDArray[np.int64]]:
    """The cases, then some again with a made-up request, without history, and with both."""
    n = len(plain)
    wished, bare, both = (
        rng.permutation(n)[: round(share * n)] for share in (WISH_COPIES, BARE_COPIES, BARE_COPIES)
    )
    rows = np.concatenate([np.arange(n), wished, bare, both])
    queries = plain.take(rows)
    request, items = queries.request.copy(), queries.items.copy()
    with_wish = np.r_[n : n + len(wished), len(rows) - len(both) : len(rows)]
    request[with_wish] = said[rows[with_wish]]
    items[n + len(wished) :] = -1
    asked = set(with_wish.tolist())
    words = tuple(w if row in asked else "" for row, w in enumerate(queries.words or ()))
    return replace(queries, request=request, items=items, words=words), targets[rows]
