"""Goes through the plan: what is there is taken, what is missing is made, cell by cell.

Leaves to others: the cells (cells.py), who fills them (contestants.py), the report (report.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from crossrec.benchmark.cells import (
    BLIND,
    COLD,
    DOMAINS,
    MINE,
    OURS,
    TEMPORAL,
    TEXT,
    Cell,
    CellStore,
    Result,
    plan,
)
from crossrec.benchmark.contestants import (
    THIN,
    Arena,
    Contestant,
    Scripted,
    contestant,
    peer_names,
    settings_of_ours,
)
from crossrec.benchmark.exchange import NotRunError, expect_checkout, scripts
from crossrec.config import RunConfig
from crossrec.data.dataset import Dataset
from crossrec.data.freshness import why_stale
from crossrec.data.importing import import_domain, imported
from crossrec.domains import load_domain
from crossrec.errors import ConfigError, suggest
from crossrec.models import baselines

SPLITS = ("leave_one_out", "temporal", "cold_items")


@dataclass
class Outcome:
    """All results of a run, and why some cells have none."""

    results: list[Result] = field(default_factory=list)
    not_run: dict[Cell, str] = field(default_factory=dict)


@dataclass
class Benchmark:
    """A plan and the folder its cells lie in.

    Attributes:
        folder: of the run: cells go to `cells/` in it.
        config: settings of ours; protocol and seed are set by the cell.
        make: whether to make what is missing, or only to say that it is.
        data: name of a domain → its data set, imported if need be.
        anew: the same, imported again: for data that are not what the YAML or files now say.
    """

    folder: Path
    cells: list[Cell]
    config: RunConfig = field(default_factory=RunConfig)
    make: bool = True
    data: Callable[[str], Dataset] = imported
    anew: Callable[[str], Dataset] = lambda name: import_domain(load_domain(name))

    def __post_init__(self) -> None:
        self.store = CellStore(self.folder)
        self._datasets: dict[str, Dataset] = {}
        self._arenas: dict[Cell, Arena] = {}
        self._results: dict[Cell, Result] = {}

    def run(self, on_cell: Callable[[Cell, bool], None] = lambda cell, made: None) -> Outcome:
        """Make every cell that is missing; Ctrl-C loses the one at work.

        Args:
            on_cell: told each cell twice: before it (False) and after it (True).

        Raises:
            CrossrecError: no data, or our training diverged.
        """
        outcome = Outcome()
        for cell in self.cells:
            on_cell(cell, False)
            try:
                outcome.results.append(self.result(cell))
            except NotRunError as reason:
                outcome.not_run[cell] = str(reason)
            on_cell(cell, True)
        return outcome

    def result(self, cell: Cell) -> Result:
        """The cell's result, from the folder or made now; of its needs likewise.

        Raises:
            NotRunError: it, or what it needs, cannot run here.
        """
        if cell in self._results:
            return self._results[cell]
        model, arena = contestant(cell.model), self._arena(cell)
        needed = self._needed(cell, model, arena)
        keys = {f"{r.cell.model} {r.cell.split}": r.key for r in needed.values()}
        key = model.key(cell, arena, keys)
        result = self.store.load(cell, key)
        if result is None:
            if isinstance(model, Scripted):
                model.script.python()  # why it cannot run says more than that it did not
            if not self.make:
                raise NotRunError("not run yet")
            result = model.run(cell, key, arena, needed)
            self.store.save(result)
        self._results[cell] = result
        return result

    def _needed(self, cell: Cell, model: Contestant, arena: Arena) -> dict[str, Result]:
        """What the model is made of, and the cell that its hyperparameters come from."""
        needed = {}
        for name in model.needs:
            seed = cell.seed if _differs_by_seed(name, cell) else 0
            try:
                needed[name] = self.result(Cell(cell.domain, cell.split, name, seed))
            except NotRunError as reason:
                raise NotRunError(f"not run: it needs {name} ({reason})") from reason
        if isinstance(model, Scripted) and model.script.neural:
            source = self._source(cell, arena)
            if source is not None:
                needed[cell.model] = self.result(source)
        return needed

    def _source(self, cell: Cell, arena: Arena) -> Cell | None:
        """Where a neural peer's hyperparameters come from; None: it searches."""
        thin = len(arena.split.validation) < THIN
        if cell.split == "temporal" and thin:
            return Cell(cell.domain, "leave_one_out", cell.model, 0)
        return Cell(cell.domain, cell.split, cell.model, 0) if cell.seed else None

    def _arena(self, cell: Cell) -> Arena:
        """The split, shared by the cells of a domain; only one is kept, for they are large."""
        seed = cell.seed if cell.model in MINE or cell.split == "cold_items" else 0
        place = replace(cell, model=BLIND if cell.model == BLIND else OURS, seed=seed)
        if place not in self._arenas:
            self._arenas.clear()
            own = settings_of_ours(self.config, place)
            config = own.above(load_domain(cell.domain).settings)
            self._arenas[place] = Arena(self._dataset(cell.domain), config)
        return self._arenas[place]

    def _dataset(self, name: str) -> Dataset:
        """The domain's data as its YAML and files are now; looked at once a run."""
        if name not in self._datasets:
            found = self.data(name)
            stale = why_stale(found, load_domain(name))
            self._datasets[name] = self.anew(name) if stale else found
        return self._datasets[name]


def _differs_by_seed(name: str, cell: Cell) -> bool:
    return cell.split == "cold_items" or name not in baselines.NAMES


def make_plan(
    domains: Sequence[str] = (),
    splits: Sequence[str] = (),
    seeds: int = 3,
    peers: Sequence[str] | None = None,
    *,
    ours: bool = True,
) -> list[Cell]:
    """The cells that were asked for, names checked; nothing asked for means all.

    Raises:
        ConfigError: no such split or peer, a peer's script is not here, or nothing is left.
        UnknownDomainError: no such domain.
    """
    for name in domains:
        load_domain(name)
    for split in splits:
        if split not in SPLITS:
            raise ConfigError(f"no split is called '{split}': {suggest(split, SPLITS)}")
    if peers is None or set(peers) - set(baselines.NAMES):
        expect_checkout()
    known = peer_names()
    for peer in peers or ():
        if peer not in known:
            raise ConfigError(f"no peer is called '{peer}': {suggest(peer, known)}")
    chosen = [name for name in known if peers is None or name in peers]
    neural = [name for name, script in scripts().items() if script.neural]
    cells = plan(domains or DOMAINS, splits or SPLITS, seeds, chosen, neural, ours=ours)
    if peers is None:
        cells = [cell for cell in cells if _by_default(cell)]
    if not cells:
        raise ConfigError(
            "nothing to run with these domains, splits and peers: temporal suits"
            f" {', '.join(TEMPORAL)}; cold_items suits {', '.join(COLD)}, and of the peers only"
            f" {TEXT}"
        )
    return cells


def _by_default(cell: Cell) -> bool:
    """Whether a peer runs on that domain without being asked for by name."""
    script = scripts().get(cell.model)
    return script is None or script.domains is None or cell.domain in script.domains


def settings_of(cells: Sequence[Cell]) -> dict[str, Any]:
    """What a plan covers, for the report."""
    names = {f: dict.fromkeys(getattr(c, f) for c in cells) for f in ("domain", "split", "model")}
    return {f"{name}s": list(values) for name, values in names.items()}
