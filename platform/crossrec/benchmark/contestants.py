"""Who takes part: ours, the package's baselines, peers' scripts, and the fusion of peers. Each
is trained on one split and judged on its validation and test cases.

Leaves to others: which cells there are (cells.py), the order of the run (run.py).
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import crossrec
from crossrec.benchmark import fusion
from crossrec.benchmark.cells import (
    BLIND,
    FUSION,
    MINE,
    PARTS,
    TEXT,
    Cell,
    Result,
    code_hash,
    definitions_hash,
    digest,
)
from crossrec.benchmark.exchange import (
    SCRIPTS,
    Script,
    judge_factors,
    run_script,
    scored,
    scripts,
)
from crossrec.config import RunConfig
from crossrec.data.dataset import Dataset
from crossrec.data.split import Split, fingerprint
from crossrec.evaluation.protocols import Evaluation, Part, ScoreCases, judge, judge_cases
from crossrec.models import baselines
from crossrec.models.baselines import Baseline

if TYPE_CHECKING:
    from crossrec.training.prepare import Prepared

JUDGE = 1
"""Raise it when evaluation/ changes what a rank is: all cells are then made anew."""
THIN = 200
"""Validation cases below which hyperparameters and epochs come from leave_one_out."""

PACKAGE = Path(crossrec.__file__).parent


def peer_names() -> list[str]:
    """All peers, quick ones first; the scripts' only in a checkout."""
    return [*baselines.NAMES, *scripts(), FUSION]


class Arena:
    """One split of one domain with one config, and what every contestant reads of it."""

    def __init__(self, dataset: Dataset, config: RunConfig) -> None:
        self.dataset, self.config = dataset, config

    @cached_property
    def split(self) -> Split:
        """Training rows and cases."""
        from crossrec.data.split import expect_cases
        from crossrec.training.prepare import split_for

        split = split_for(self.dataset, self.config)
        expect_cases(split, self.dataset.domain.name)
        return split

    @cached_property
    def prepared(self) -> Prepared:
        """What ours and models of text read besides; made when first asked for."""
        from crossrec.training.prepare import prepare

        return prepare(self.dataset, self.config, split=self.split)

    def text(self, wanted: bool) -> NDArray[np.float32] | None:
        """(N, E) vectors of the item texts for those that read them, for encoding takes time."""
        return self.prepared.text if wanted else None

    @cached_property
    def split_hash(self) -> str:
        """Of the data, the training rows and the cases."""
        split = self.split
        cases = [fingerprint(split, getattr(split, part)) for part in PARTS]
        rows = split.sequences.offsets[:-1] + np.add.reduceat(
            split.train.astype(np.int64), split.sequences.offsets[:-1]
        )
        return digest(self.dataset.content_hash, cases, rows.tolist())

    @property
    def text_settings(self) -> list[Any]:
        """What decides the text vectors."""
        return [self.config.encoder, self.config.model.max_text_tokens]


class Contestant(ABC):
    """A model by name; `key` says what decides its result, `run` makes it."""

    needs: tuple[str, ...] = ()
    """Models of the same split that it is made of."""

    def key(self, cell: Cell, arena: Arena, needed: Mapping[str, str]) -> str:
        """Hash of everything that decides the result.

        Args:
            needed: model → key, of what it needs and was asked for.
        """
        return digest(JUDGE, str(cell), arena.split_hash, dict(needed), self.settings(cell, arena))

    @abstractmethod
    def settings(self, cell: Cell, arena: Arena) -> list[Any]:
        """Its settings and the hash of its code."""

    @abstractmethod
    def run(self, cell: Cell, key: str, arena: Arena, needed: Mapping[str, Result]) -> Result:
        """Train and judge.

        Raises:
            NotRunError: it cannot run here, or a script failed.
        """


class Ours(Contestant):
    """crossrec with its settings as given, by default the defaults."""

    def settings(self, cell: Cell, arena: Arena) -> list[Any]:
        """All settings, the domain's declaration, and the code of data, models and training."""
        declared = arena.dataset.domain.model_dump(mode="json")
        code = sorted(path for room in _ROOMS for path in (PACKAGE / room).glob("*.py"))
        return [arena.config.model_dump(mode="json"), declared, code_hash(*code)]

    def run(self, cell: Cell, key: str, arena: Arena, needed: Mapping[str, Result]) -> Result:
        """As `crossrec train` does, without a release."""
        from crossrec.training.assemble import assemble
        from crossrec.training.loop import fit
        from crossrec.training.pipeline import judge_model

        started = time.perf_counter()
        fitted = fit(arena.prepared)
        model = assemble(arena.prepared, fitted)
        seconds = time.perf_counter() - started
        evaluations = {part: judge_model(arena.prepared, fitted, model, part) for part in PARTS}
        epochs = len(fitted.history)
        ended = epochs < arena.config.training.max_epochs
        return _result(cell, key, arena, evaluations, {}, seconds, seconds, ended, epochs)


_ROOMS = ("data", "models", "training")
"""Packages that decide a figure of ours; what a rank is, JUDGE says."""


def settings_of_ours(config: RunConfig, cell: Cell) -> RunConfig:
    """Those of a cell: its protocol and seed; BLIND reads neither context nor any clock, so that it
    is told less than peers could read (gaps between the steps of a history are hidden, too).
    """
    model, training = config.model, config.training.model_copy(update={"seed": cell.seed})
    if cell.model == BLIND:
        without = list(dict.fromkeys([*model.without, "gaps"]))
        model = model.model_copy(update={"use_context": False, "without": without})
    update = {"protocol": cell.split, "training": training, "model": model}
    return config.model_copy(update=update)


class Simple(Contestant):
    """A baseline of the package, the best of its grid; the variants with recency take the weights
    that were best without.
    """

    def __init__(self, name: str) -> None:
        family = name.removesuffix("_recency")
        self.needs = (family,) if family != name else ()

    def settings(self, cell: Cell, arena: Arena) -> list[Any]:
        """The code of the baselines, which holds their grids."""
        text = arena.text_settings if cell.model == TEXT else None
        return [text, *(definitions_hash(PACKAGE / "models" / f, *names) for f, names in _CODE)]

    def run(self, cell: Cell, key: str, arena: Arena, needed: Mapping[str, Result]) -> Result:
        """Tune on validation, judge; `fit_seconds` is one fit with what was chosen."""
        started = time.perf_counter()
        split, text = arena.split, arena.text(cell.model == TEXT)
        before = sum(result.tune_seconds for result in needed.values())
        if self.needs:
            model = baselines.tune_decay(refitted(needed[self.needs[0]], arena), split)
        else:
            model = baselines.tune(cell.model, split, text)
        tuned = time.perf_counter()
        model.fit(split, text)
        fitted = time.perf_counter()
        evaluations = {part: judge(model.score, split, part) for part in PARTS}
        seconds = fitted - tuned, before + fitted - started
        return _result(cell, key, arena, evaluations, model.params, *seconds)


_CODE = (
    ("baselines.py", ("tune", "tune_decay")),
    ("linear_weights.py", ("ease_weights", "history_matrix", "knn_weights", "training_matrix")),
)
"""What decides a baseline's figure."""


def refitted(result: Result, arena: Arena) -> Baseline:
    """A baseline with the parameters that a cell of it found."""
    family = result.cell.model.removesuffix("_recency")
    model = FAMILIES[family](**result.params)
    return model.fit(arena.split, arena.text(family == TEXT))


FAMILIES: dict[str, Callable[..., Baseline]] = {
    "popularity": baselines.Popularity,
    "itemknn": baselines.ItemKNN,
    "ease": baselines.Ease,
    "frozen_text": baselines.FrozenText,
}


class Scripted(Contestant):
    """A peer that is a script."""

    def __init__(self, script: Script) -> None:
        self.script = script

    def settings(self, cell: Cell, arena: Arena) -> list[Any]:
        """Its entry in peers.yaml and its code."""
        text = arena.text_settings if self.script.text else None
        return [
            self.script.settings,
            text,
            self.script.cold,
            code_hash(self.script.path, SCRIPTS / "exchange.py"),
        ]

    def run(self, cell: Cell, key: str, arena: Arena, needed: Mapping[str, Result]) -> Result:
        """Run the script; hyperparameters come from what is in `needed`, else it searches."""
        split, text = arena.split, arena.text(self.script.text)
        found = needed.get(self.script.name)
        epochs = found.epochs if found is not None and found.cell.split != cell.split else None
        params = None if found is None else found.params
        answer = run_script(self.script, split, text, cell.seed, params, epochs)
        factors, about = answer.factors, answer.about
        evaluations = judge_factors(factors, split, cold=self.script.cold)
        return Result(
            cell,
            key,
            arena.dataset.content_hash,
            evaluations,
            about["params"],
            about["fit_seconds"],
            about["tune_seconds"],
            about["converged"],
            about["epochs"],
            factors if "items" in factors else {},
        )


class Fused(Contestant):
    """The plain linear fusion of peers."""

    needs = fusion.SIGNALS

    def settings(self, cell: Cell, arena: Arena) -> list[Any]:
        """Its code."""
        return [code_hash(Path(fusion.__file__))]

    def run(self, cell: Cell, key: str, arena: Arena, needed: Mapping[str, Result]) -> Result:
        """Score again with what the peers' cells found, tune five weights, judge."""
        split = arena.split
        started = time.perf_counter()
        models = {n: refitted(needed[n], arena) for n in self.needs if n in baselines.NAMES}

        def signals(part: Part) -> list[ScoreCases]:
            return [self._signal(name, part, models, needed, arena) for name in self.needs]

        weights, about = fusion.tune_weights(signals("validation"), split, cell.seed)
        seconds = time.perf_counter() - started
        evaluations = {
            part: judge_cases(fusion.fused(signals(part), weights), split, part) for part in PARTS
        }
        params = dict(zip(self.needs, (round(float(w), 4) for w in weights), strict=True)) | about
        longest = sum(needed[name].fit_seconds for name in self.needs)
        return _result(cell, key, arena, evaluations, params, seconds + longest, seconds + longest)

    def _signal(
        self,
        name: str,
        part: str,
        models: Mapping[str, Baseline],
        needed: Mapping[str, Result],
        arena: Arena,
    ) -> ScoreCases:
        if name in models:
            return lambda rows, queries: models[name].score(queries)
        factors = needed[name].factors
        unknown = np.flatnonzero(~arena.split.warm)
        return lambda rows, queries: scored(factors, part, rows, unknown)


def contestant(name: str) -> Contestant:
    """The model of that name; KeyError for one that is not in `peer_names` nor ours."""
    if name in MINE:
        return Ours()
    if name == FUSION:
        return Fused()
    return Simple(name) if name in baselines.NAMES else Scripted(scripts()[name])


def _result(
    cell: Cell,
    key: str,
    arena: Arena,
    evaluations: dict[Part, Evaluation],
    params: dict[str, Any],
    fit_seconds: float,
    tune_seconds: float,
    converged: bool | None = None,
    epochs: int | None = None,
) -> Result:
    return Result(
        cell,
        key,
        arena.dataset.content_hash,
        evaluations,
        dict(params),
        fit_seconds,
        tune_seconds,
        converged,
        epochs,
    )
