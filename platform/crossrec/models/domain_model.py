"""Everything one domain needs to score its catalogue, in numpy: what evaluate, serve and
explain all run. Torch trains the towers (training/); a served replica never imports it.

Files, all in one folder: `config.json` (RunConfig), `domain.yaml`, `vocabulary.json`,
`model.safetensors`, and `adapter/` in adapted mode.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from crossrec.config import RunConfig
from crossrec.data.vocabulary import Vocabulary
from crossrec.domains.spec import Domain
from crossrec.models.query import Queries

Scores = NDArray[np.float32]

SIGNALS = ("sequence", "collaborative", "text", "popularity")


@dataclass
class DomainModel:
    """Interface that serving, evaluation and explanation rely on."""

    domain: Domain
    config: RunConfig
    vocabulary: Vocabulary

    @property
    def request_dim(self) -> int:
        """Width E of `Queries.request`: that of the encoder's vectors."""
        raise NotImplementedError

    def score(self, queries: Queries) -> Scores:
        """Relevance of every item: (B, N) float32, higher is better. History is not excluded."""
        raise NotImplementedError

    def signals(self, queries: Queries) -> dict[str, Scores]:
        """The parts of `score`: signal → (B, N); they sum to `score` (within 1e-4)."""
        raise NotImplementedError

    def save(self, folder: Path) -> None:
        """Write the files into an existing, empty folder."""
        raise NotImplementedError

    @classmethod
    def load(cls, folder: Path) -> DomainModel:
        """Read them back; scores are equal to the saved model's within 1e-6.

        Raises:
            ReleaseError: a file is missing or does not fit the others.
        """
        raise NotImplementedError
