"""Probes of a release: a few questions with their scores, asked again whenever it is loaded.

They find what file hashes cannot: code or libraries that score the same files otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossrec.data.split import Sequences
from crossrec.errors import ReleaseError
from crossrec.models.domain_model import DomainModel
from crossrec.models.lexical import LexicalSignal
from crossrec.models.query import Queries
from crossrec.models.tensor_file import map_tensors
from crossrec.models.text_signals import RequestSignal

PROBES = "probe.safetensors"

N_HISTORIES = 3
N_WORDS = 5
TOLERANCE = 1e-3
"""Largest difference allowed, as a share of the largest absolute score: wide enough for other
processors and numerical libraries, far below what any other model gives."""

_CONTEXT = "context."


def write_probes(folder: Path, model: DomainModel, sequences: Sequences | None, seed: int) -> None:
    """Draw questions, score them, write both."""
    from safetensors.numpy import save_file  # a served replica only reads

    queries = _draw(model, sequences, np.random.default_rng(seed))
    tensors: dict[str, NDArray[np.generic]] = {
        "items": queries.items,
        "times": queries.times,
        "events": queries.events,
        "now": queries.now,
        "request": queries.request,
        "words": np.frombuffer("\n".join(queries.words or ()).encode(), np.uint8),
        "scores": model.score(queries),
    }
    tensors |= {_CONTEXT + name: values for name, values in queries.context.items()}
    save_file({name: np.ascontiguousarray(t) for name, t in tensors.items()}, folder / PROBES)


def check_probes(folder: Path, model: DomainModel) -> None:
    """Ask the questions again.

    Raises:
        ReleaseError: the answers differ, or the file cannot be read.
    """
    tensors = _read(folder / PROBES)
    scores = model.score(_queries(tensors))
    expected = tensors["scores"]
    limit = TOLERANCE * max(1.0, float(np.abs(expected).max(initial=0.0)))
    if scores.shape != expected.shape or not np.allclose(scores, expected, rtol=0, atol=limit):
        raise ReleaseError(
            f"the model in {folder} scores its probes otherwise than when it was published, so code"
            " or libraries have changed; publish it again with this version of crossrec"
        )


def rewrite_probes(release: Path, folder: Path, model: DomainModel) -> None:
    """Write a release's questions into another folder, with the scores of a model that has grown.

    Raises:
        ReleaseError: the release's probes cannot be read.
    """
    from safetensors.numpy import save_file

    tensors = _read(release / PROBES)
    tensors["scores"] = model.score(_queries(tensors))
    save_file({name: np.ascontiguousarray(t) for name, t in tensors.items()}, folder / PROBES)


def _read(path: Path) -> dict[str, NDArray[Any]]:
    try:
        return map_tensors(path)
    except (OSError, ValueError) as err:
        raise ReleaseError(f"{path} cannot be read ({err}); publish the release again") from err


def _queries(tensors: Mapping[str, NDArray[Any]]) -> Queries:
    context = {n.removeprefix(_CONTEXT): t for n, t in tensors.items() if n.startswith(_CONTEXT)}
    items, times, events = tensors["items"], tensors["times"], tensors["events"]
    request = tensors["request"]
    return Queries(items, times, events, tensors["now"], request, context, _said(tensors))


def _draw(model: DomainModel, sequences: Sequences | None, rng: np.random.Generator) -> Queries:
    """A few invented histories; the last row also asks in words, those of the catalogue, with a
    random vector as their meaning.

    Nobody's own history is asked: a release keeps its probes when a user is erased. Of the data
    only the span of time and the number of steps of the longest history are taken.
    """
    request_signal = model.signals_by_name.get(RequestSignal.name)
    dim = len(request_signal.centre) if isinstance(request_signal, RequestSignal) else 0
    queries = blank_queries(model, 1, dim)
    if sequences is not None and sequences.n_users:
        queries = _invented(model, sequences, dim, rng)
    queries.request[-1] = rng.normal(size=dim)
    lexical = model.signals_by_name.get(LexicalSignal.name)
    if not isinstance(lexical, LexicalSignal):
        return queries
    words = " ".join(lexical.some_words(rng, N_WORDS))
    return replace(queries, words=("",) * (len(queries) - 1) + (words,))


def _invented(
    model: DomainModel, sequences: Sequences, dim: int, rng: np.random.Generator
) -> Queries:
    longest = int(np.diff(sequences.offsets).max()) - 1
    size = (N_HISTORIES, max(1, min(longest, model.config.model.history_length)))
    first, last = int(sequences.times.min()), int(sequences.times.max())
    times = np.sort(rng.integers(first, last, size, endpoint=True), axis=1)
    items = rng.integers(0, len(model.vocabulary.item_ids), size, dtype=np.int32)
    events = rng.integers(0, max(1, len(model.vocabulary.events)), size, dtype=np.int16)
    begins = rng.integers(0, size[1], N_HISTORIES)  # of different lengths, at least one step
    empty = np.arange(size[1]) < begins[:, None]
    return Queries(
        items=np.where(empty, np.int32(-1), items),
        times=np.where(empty, np.int64(0), times),
        events=np.where(empty, np.int16(-1), events),
        now=np.full(N_HISTORIES, last, np.int64),
        request=np.zeros((N_HISTORIES, dim), np.float32),
        context={name: _situations(model, name, rng) for name in sequences.context},
    )


def _situations(model: DomainModel, name: str, rng: np.random.Generator) -> NDArray[np.float32]:
    """Values of a context field, (N_HISTORIES,), of a place (N_HISTORIES, 2)."""
    field = next(field for field in model.domain.context if field.name == name)
    if field.kind == "place":
        return rng.uniform(-60, 60, (N_HISTORIES, 2)).astype(np.float32)
    known = model.vocabulary.context_values.get(name, ())
    if field.kind == "category":
        return rng.integers(0, max(1, len(known)), N_HISTORIES).astype(np.float32)
    return rng.uniform(0, field.period or 1, N_HISTORIES).astype(np.float32)


def _said(tensors: Mapping[str, NDArray[Any]]) -> tuple[str, ...] | None:
    """The words of the questions; None in releases that were made before there were any."""
    text = tensors["words"].tobytes().decode() if "words" in tensors else ""
    return tuple(text.split("\n")) if text else None


def blank_queries(model: DomainModel, n: int, request_dim: int) -> Queries:
    """Questions of which nothing is known: no history, no words, no context, time 0."""
    context = {
        field.name: np.full((n, 2) if field.kind == "place" else (n,), np.nan, np.float32)
        for field in model.domain.context
    }
    return Queries(
        items=np.full((n, 1), -1, np.int32),
        times=np.zeros((n, 1), np.int64),
        events=np.full((n, 1), -1, np.int16),
        now=np.zeros(n, np.int64),
        request=np.zeros((n, request_dim), np.float32),
        context=context,
    )
