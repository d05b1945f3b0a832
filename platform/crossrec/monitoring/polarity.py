"""What a released classifier says of texts: the label it would recommend first.

Leaves to others: training and releasing it (the ordinary way), serving it over HTTP (serving/).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from crossrec.errors import ConfigError
from crossrec.models.query import Queries

if TYPE_CHECKING:
    from crossrec.models.encoder import Progressing, TextEncoder
    from crossrec.releases.store import LoadedRelease

BATCH = 512


@dataclass(frozen=True)
class Classifier:
    """A release whose items are labels, with the encoder that it was trained on."""

    loaded: LoadedRelease
    encoder: TextEncoder

    @classmethod
    def open(cls, loaded: LoadedRelease, encoder: TextEncoder | None = None) -> Classifier:
        """Take a loaded release; its own encoder is loaded where none is given.

        Raises:
            ConfigError: the release does not classify.
            EncoderError: the encoder cannot be loaded.
        """
        from crossrec.models.encoder import TextEncoder

        model = loaded.model
        if model.task != "classify":
            raise ConfigError(
                f"'{model.domain.name}' has the task '{model.task}'; expected a domain that labels"
                " texts (task classify), such as finance_sentiment"
            )
        return cls(loaded, encoder or TextEncoder.load(model.config.encoder))

    @property
    def labels(self) -> list[str]:
        """All labels."""
        return self.loaded.model.vocabulary.item_ids

    def classify(
        self,
        texts: Sequence[str],
        topics: Sequence[str | None],
        progress: Progressing = False,
    ) -> NDArray[np.int64]:
        """Index into `labels` of each text's best one, (n,).

        Args:
            texts: what was said.
            topics: whom it is about, which is put before the text as in training; None: nobody.
            progress: draw a bar of the texts, or be told how many are encoded.
        """
        pairs = zip(topics, texts, strict=True)
        said = [f"{topic}: {text}" if topic else text for topic, text in pairs]
        vectors = self._encode(said, progress)
        best = []
        for start in range(0, len(said), BATCH):
            rows = slice(start, start + BATCH)
            scores = self.loaded.model.score(_queries(said[rows], vectors[rows]))
            best.append(scores.argmax(axis=1))
        return np.concatenate(best).astype(np.int64) if best else np.empty(0, np.int64)

    def _encode(self, said: list[str], progress: Progressing = False) -> NDArray[Any]:
        from crossrec.models.mixed import encode_adapted

        tokens = self.loaded.model.config.model.max_text_tokens
        adapter = self.loaded.release.adapter_folder
        if adapter is None:
            return self.encoder.encode(said, max_tokens=tokens, progress=progress)
        return encode_adapted(self.encoder, adapter, said, tokens, progress)


def _queries(said: list[str], vectors: NDArray[Any]) -> Queries:
    """Users without history, who say those texts."""
    n = len(said)
    return Queries(
        items=np.full((n, 1), -1, np.int32),
        times=np.zeros((n, 1), np.int64),
        events=np.full((n, 1), -1, np.int16),
        now=np.zeros(n, np.int64),
        request=vectors.astype(np.float32),
        words=tuple(said),
    )
