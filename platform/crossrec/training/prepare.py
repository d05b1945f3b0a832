"""Everything the loop reads, made once from a data set: split, text vectors, context, requests.

Leaves to others: the steps themselves (loop.py), encoding text (models/encoder.py).
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from crossrec.config import OF_RANKING, RunConfig, TrainingConfig, home
from crossrec.data.dataset import Dataset
from crossrec.data.exposures import with_passed_over
from crossrec.data.features import chosen_modalities, read_features, whitened
from crossrec.data.ratings import ratings_as_events
from crossrec.data.restrictions import restricted_split
from crossrec.data.split import Split, expect_cases, make_split
from crossrec.data.vocabulary import Vocabulary
from crossrec.domains.spec import Domain
from crossrec.errors import ConfigError, DataError
from crossrec.evaluation.protocols import Task
from crossrec.models.context import ContextEncoder
from crossrec.schema import TEXT
from crossrec.training.wishes import wishes_for

if TYPE_CHECKING:
    from crossrec.models.encoder import Progressing, TextEncoder

Floats = NDArray[np.float32]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prepared:
    """One domain, ready to train. Sizes: N items, E text width, R rows, Q requests."""

    domain: Domain
    data_hash: str
    config: RunConfig
    split: Split
    vocabulary: Vocabulary
    context: ContextEncoder
    texts: list[str]
    requested: bool
    """Every row comes with what somebody really said; else requests are made up for training."""
    wishes: list[str]
    """Q requests: the rows' own, or some made up for each item."""
    wish_of_row: NDArray[np.int64]  # (R,) index into `wishes`
    text: Floats  # (N, E) unit, of the encoder without adapter
    wish_vectors: Floats  # (Q, E) unit, likewise
    places: Floats | None  # (N, 2) degrees, where the domain has a place field
    encoder: TextEncoder
    modalities: Mapping[str, Floats] = field(default_factory=dict)
    """Name → (N, K) of those that the settings ask for and the data have; rows of zeros: items
    without it."""
    reworded: NDArray[np.int64] | None = None
    """(R,) index into `wishes` of another wording, which every second step of training hears."""
    absent_modalities: tuple[str, ...] = ()
    """Asked for, but the data have no such table."""

    @property
    def coverage(self) -> dict[str, float]:
        """Share of the items that have each modality asked for; 0 where the data have none."""
        shares = {m: float((x != 0).any(axis=1).mean()) for m, x in self.modalities.items()}
        return shares | dict.fromkeys(self.absent_modalities, 0.0)

    @property
    def task(self) -> Task:
        """What the head learns."""
        return self.config.task or self.domain.task

    @property
    def clock(self) -> bool:
        """Whether timestamps are seconds, so that gaps mean something, and gaps are looked at."""
        return _clock(self.domain, self.config)


def prepare(
    dataset: Dataset,
    config: RunConfig,
    *,
    encoder: TextEncoder | None = None,
    split: Split | None = None,
    progress: Progressing = False,
) -> Prepared:
    """Split the data set and encode its texts (cached below `<home>/cache`).

    Args:
        encoder: an encoder already loaded; None: the one that `config` names.
        split: cases already cut; None: by `config.protocol`.
        progress: of encoding, see `models.encoder.Progressing`.

    Raises:
        DataError: the protocol does not fit the data.
        EncoderError: the encoder cannot be loaded.
        ConfigError: the domain has no modality of a name that the settings ask for.
    """
    from crossrec.models.encoder import TextEncoder

    modalities = _modalities(dataset, config)
    split = split_for(dataset, config, split)
    encoder = encoder or TextEncoder.load(config.encoder)
    catalogue = dataset.catalogue()
    texts = catalogue[TEXT].to_list()
    tokens = config.model.max_text_tokens
    wishes = wishes_for(
        split,
        catalogue,
        config.training.seed,
        config.training.synonym_share,
        lambda words: encode_cached(encoder, words, tokens, progress),
    )
    return Prepared(
        domain=dataset.domain,
        data_hash=dataset.content_hash,
        config=config,
        split=split,
        vocabulary=_vocabulary(split),
        context=_context(dataset.domain, split, config),
        texts=texts,
        requested=split.sequences.requests is not None,
        wishes=wishes.texts,
        wish_of_row=wishes.of_row,
        reworded=wishes.reworded,
        text=encode_cached(encoder, texts, tokens, progress),
        wish_vectors=encode_cached(encoder, wishes.texts, tokens, progress),
        places=_places(dataset.domain, catalogue),
        encoder=encoder,
        modalities={name: values for name, values in modalities.items() if values is not None},
        absent_modalities=tuple(n for n, values in modalities.items() if values is None),
    )


def _modalities(dataset: Dataset, config: RunConfig) -> dict[str, Floats | None]:
    """Those asked for; None where the data lack one, which is said."""
    found: dict[str, Floats | None] = {}
    for modality in chosen_modalities(dataset.domain, config.model.modalities):
        features = read_features(dataset, modality)
        found[modality.name] = whitened(features) if features else None
        if features is None:
            log.warning(
                "'%s' is trained without the modality '%s': the imported data have no table '%s'",
                *(dataset.domain.name, modality.name, modality.table),
            )
    return found


def split_for(dataset: Dataset, config: RunConfig, split: Split | None = None) -> Split:
    """The cases a model of `config` is trained and judged on.

    For the task `rate`, ratings stand in place of events.

    Args:
        dataset: an imported data set.
        config: protocol, seed, sample of users, task.
        split: cases already cut; None: by the config's protocol.

    Raises:
        DataError: the protocol or the task does not fit the data.
        ConfigError: a setting of ranking was given for the task `rate`, or candidates shall be
            restricted and no context field does.
    """
    training = config.training
    if split is None:
        split = make_split(
            dataset, config.protocol, seed=training.seed, max_users=training.max_users
        )
    if training.passed_over_weight and split.passed_over is None:
        split = _with_passed_over(dataset, split)
    if config.candidates == "restricted" and not split.restrictions:
        split = restricted_split(dataset, split)
    task = config.task or dataset.domain.task
    if task == "classify" and split.sequences.requests is None:
        raise DataError(
            f"'{dataset.domain.name}' has no texts with labels; expected a table of requests for"
            " the task 'classify', whose items are the labels"
        )
    if task == "rate":
        expect_cases(split, dataset.domain.name)
        _expect_untouched(training)
        split = replace(split, sequences=ratings_as_events(split.sequences))
    return split


def _with_passed_over(dataset: Dataset, split: Split) -> Split:
    split = with_passed_over(dataset, split)
    if split.passed_over is None or not split.passed_over[np.flatnonzero(split.train)].nnz:
        log.warning(
            "training.passed_over_weight does nothing for '%s': the data record no item that was"
            " shown before a training interaction and not taken",
            dataset.domain.name,
        )
    return split


def _expect_untouched(training: TrainingConfig) -> None:
    """Raise where a setting was given that only ranking reads."""
    usual = TrainingConfig()
    for name in OF_RANKING:
        given, default = getattr(training, name), getattr(usual, name)
        if given != default:
            raise ConfigError(
                f"training.{name}={given} does nothing in the task 'rate', which learns ratings by"
                f" squared error, without softmax and fusion; leave it out (default {default})"
            )


def encode_cached(
    encoder: TextEncoder, texts: list[str], tokens: int, progress: Progressing
) -> Floats:
    """Vectors of the texts, kept under a hash of encoder, length and texts."""
    key = hashlib.sha256(f"{encoder.fingerprint}\n{tokens}\n".encode())
    for text in texts:
        key.update(text.encode())
        key.update(b"\0")
    path = home() / "cache" / "text" / f"{key.hexdigest()[:32]}.npy"
    if path.is_file():
        return np.asarray(np.load(path), np.float32)
    vectors = encoder.encode(texts, max_tokens=tokens, progress=progress)
    _write_atomically(path, vectors)
    return vectors


def _write_atomically(path: Path, vectors: Floats) -> None:
    import tempfile

    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False, suffix=".part") as file:
        np.save(file, vectors)
    Path(file.name).replace(path)


def _vocabulary(split: Split) -> Vocabulary:
    sequences = split.sequences
    return Vocabulary(sequences.item_ids, sequences.event_names, sequences.context_values)


def _context(domain: Domain, split: Split, config: RunConfig) -> ContextEncoder:
    sequences = split.sequences
    fields = list(domain.context) if config.model.use_context else []
    rows = {name: values[split.train] for name, values in sequences.context.items()}
    return ContextEncoder.fit(fields, sequences.context_values, rows, _clock(domain, config))


def _clock(domain: Domain, config: RunConfig) -> bool:
    return domain.time_kind == "unix_seconds" and "gaps" not in config.model.without


def _places(domain: Domain, catalogue: pl.DataFrame) -> Floats | None:
    for one in domain.context:
        if one.kind == "place":
            latitude, longitude = one.item_columns
            return catalogue.select(latitude, longitude).cast(pl.Float32).to_numpy()
    return None
