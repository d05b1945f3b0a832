"""Everything one domain needs to score its catalogue, in numpy: what evaluate, serve and
explain all run. Torch trains the towers (training/); a served replica never imports it.

Files, all in one folder: `config.json` (RunConfig), `domain.yaml`, `vocabulary.json`,
`model.json` and `model.safetensors` (signals and fusion), and `adapter/` in adapted mode.
Sizes: B queries, N items.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import ValidationError

from crossrec.config import RunConfig
from crossrec.data.vocabulary import Vocabulary
from crossrec.domains.spec import Domain
from crossrec.errors import ReleaseError
from crossrec.models.fusion import Fusion
from crossrec.models.lexical import LexicalSignal
from crossrec.models.neighbour_signals import NeighbourSignal
from crossrec.models.query import Queries
from crossrec.models.rating_profile import RatingMix
from crossrec.models.remembered import Remembered
from crossrec.models.sequence_signal import SequenceSignal
from crossrec.models.signal import Signal
from crossrec.models.signals import SIGNALS, PopularitySignal
from crossrec.models.tensor_file import map_tensors
from crossrec.models.text_signals import RequestSignal, TextSignal

Scores = NDArray[np.float32]

FILES = ("config.json", "domain.yaml", "vocabulary.json", "model.json", "model.safetensors")


_REQUESTS_TEXTS = f"{RequestSignal.name}.vectors"
"""Left out of the file of very many items where the signal `text` has the same."""

OF_HISTORIES = (NeighbourSignal, TextSignal, PopularitySignal)
"""Signals that look at nothing but the items of a history, whatever the moment and the context."""

OF_REQUESTS = (RequestSignal, LexicalSignal)
"""Signals that say nothing where nobody asks in words; they are not computed there."""


@dataclass(frozen=True)
class DomainModel:
    """Signals and the fusion that mixes them."""

    domain: Domain
    config: RunConfig
    vocabulary: Vocabulary
    signals_by_name: dict[str, Signal]
    fusion: Fusion | RatingMix | None
    """A mix for the task `rate`, whose signals are ratings and stay so; None: they are summed."""

    def score(self, queries: Queries) -> Scores:
        """Relevance of every item: (B, N) float32, higher is better. History is not excluded."""
        return np.asarray(sum(self.signals(queries).values()), np.float32)

    def signals(self, queries: Queries) -> dict[str, Scores]:
        """The parts of `score`: signal → (B, N); they sum to it (within 1e-4)."""
        asked = bool(queries.request.any())
        heard = {
            name: signal
            for name, signal in self.signals_by_name.items()
            if asked or not isinstance(signal, OF_REQUESTS)
        }
        if len(queries) == 1 and isinstance(self.fusion, Fusion):
            parts = self.fusion.mix(queries, self._standards(queries, heard))
        else:
            raw = {name: signal.score(queries) for name, signal in heard.items()}
            parts = raw if self.fusion is None else self.fusion.parts(queries, raw)
        nothing = np.broadcast_to(np.float32(0), (len(queries), len(self.vocabulary.item_ids)))
        return parts | dict.fromkeys(self.signals_by_name.keys() - heard.keys(), nothing)

    def _standards(self, queries: Queries, heard: Mapping[str, Signal]) -> dict[str, Scores]:
        """What the fusion mixes for one query: signal → (N,); those of its history remembered."""
        fusion = self.fusion
        assert isinstance(fusion, Fusion)
        history, moment = queries.items.tobytes(), self._moment(queries)
        known = self._histories.get(history) | self._moments.get(moment)
        unknown = [n for n in heard if n in fusion.names and n not in known]  # others weigh nothing
        fresh = {n: heard[n].score(queries)[0] for n in unknown}
        found = fusion.standards(fresh) if fresh else {}
        self._histories.put(history, {n: found[n] for n in self._of_histories if n in found})
        if moment and SequenceSignal.name in found:
            self._moments.put(moment, {SequenceSignal.name: found[SequenceSignal.name]})
        both = known | found
        return {name: both[name] for name in heard if name in both}  # sums hang on the order

    def _moment(self, queries: Queries) -> bytes:
        """What the towers' scores hang on; empty where words are asked, which are always others."""
        towers = self.signals_by_name.get(SequenceSignal.name)
        if queries.request.any() or not isinstance(towers, SequenceSignal):
            return b""
        return towers.moment(queries)

    @cached_property
    def _of_histories(self) -> list[str]:
        assert isinstance(self.fusion, Fusion)
        known = self.signals_by_name
        return [name for name in self.fusion.names if isinstance(known.get(name), OF_HISTORIES)]

    @cached_property
    def _histories(self) -> Remembered:
        return Remembered()

    @cached_property
    def _moments(self) -> Remembered:
        return Remembered()

    @property
    def task(self) -> Literal["rank", "rate", "classify"]:
        """What it was trained for: what its settings say, else the domain's own."""
        return self.config.task or self.domain.task

    @property
    def request_dim(self) -> int:
        """Width E of request vectors."""
        sequence = self.signals_by_name["sequence"]
        assert isinstance(sequence, SequenceSignal)
        return int(sequence.tower.weights["request.weight"].shape[1])

    @property
    def shares_texts(self) -> bool:
        """Whether histories and requests meet one copy of the item texts: no adapter moved them."""
        found = self.signals_by_name
        text, request = found.get(TextSignal.name), found.get(RequestSignal.name)
        if not (isinstance(text, TextSignal) and isinstance(request, RequestSignal)):
            return False
        return text.vectors is request.vectors

    def save(self, folder: Path) -> None:
        """Write the files into an existing folder."""
        from safetensors.numpy import save_file  # a served replica only reads (tensor_file.py)

        tensors: dict[str, NDArray[Any]] = {}
        settings: dict[str, Any] = {}
        for name, signal in self.signals_by_name.items():
            tensors |= {f"{name}.{key}": value for key, value in signal.arrays().items()}
            settings[name] = signal.settings()
        if self.fusion is not None:
            kind = "mix" if isinstance(self.fusion, RatingMix) else "fusion"
            settings[kind] = self.fusion.settings()
            tensors |= {f"{kind}.{key}": value for key, value in self.fusion.arrays().items()}
        if self.shares_texts:
            del tensors[_REQUESTS_TEXTS]
        # np.asarray, not ascontiguousarray: the latter turns a scalar into a vector.
        save_file(
            {k: np.asarray(v, order="C") for k, v in tensors.items()}, folder / "model.safetensors"
        )
        _write_json(folder / "model.json", settings)
        _write_json(folder / "config.json", self.config.model_dump(mode="json"))
        domain = yaml.safe_dump(self.domain.model_dump(mode="json"), allow_unicode=True)
        (folder / "domain.yaml").write_text(domain, encoding="utf-8")
        self.vocabulary.save(folder / "vocabulary.json")

    @classmethod
    def load(cls, folder: Path) -> DomainModel:
        """Read them back, as views on the files, which every process that reads them shares.

        Raises:
            ReleaseError: a file is missing or cannot be read.
        """
        for name in FILES:
            if not (folder / name).is_file():
                raise ReleaseError(f"{folder} has no {name}; publish the release again")
        try:
            tensors = map_tensors(folder / "model.safetensors")
            settings = json.loads((folder / "model.json").read_text(encoding="utf-8"))
            if RequestSignal.name in settings and _REQUESTS_TEXTS not in tensors:
                tensors[_REQUESTS_TEXTS] = tensors[f"{TextSignal.name}.vectors"]
            domain = yaml.safe_load((folder / "domain.yaml").read_text(encoding="utf-8"))
            config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            return cls(
                Domain.model_validate(domain),
                RunConfig.model_validate(config),
                Vocabulary.load(folder / "vocabulary.json"),
                {
                    one.name: one.restore(_below(tensors, one.name), settings[one.name])
                    for one in SIGNALS
                    if one.name in settings
                },
                _restore_fusion(tensors, settings),
            )
        except (ValidationError, ValueError, KeyError, TypeError) as err:
            raise ReleaseError(
                f"the model in {folder} cannot be read ({err}); publish the release again"
            ) from err


def _restore_fusion(
    tensors: Mapping[str, NDArray[Any]], settings: dict[str, Any]
) -> Fusion | RatingMix | None:
    if "mix" in settings:
        return RatingMix.restore(_below(tensors, "mix"), settings["mix"])
    if "fusion" in settings:
        return Fusion.restore(_below(tensors, "fusion"), settings["fusion"])
    return None


def _below(tensors: Mapping[str, NDArray[Any]], name: str) -> dict[str, NDArray[Any]]:
    prefix = name + "."
    return {key.removeprefix(prefix): t for key, t in tensors.items() if key.startswith(prefix)}


def _write_json(path: Path, values: dict[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=1, ensure_ascii=False), encoding="utf-8")
