"""Files of a release of many items by which items are found: `search/`, written when published.

An index for each dense signal, and what an exact score of a few items needs to know of all. Leaves
to others: the indexes (ranking/item_index.py), finding (ranking/candidates.py).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossrec.errors import ReleaseError
from crossrec.explanation.moments import Moments, moments_of
from crossrec.models.domain_model import DomainModel
from crossrec.models.tensor_file import map_tensors
from crossrec.ranking.candidates import (
    DENSE,
    Dense,
    ItemSearch,
    is_searchable,
    shares_of,
    vectors_of,
)
from crossrec.ranking.item_index import ItemIndex, faiss

log = logging.getLogger(__name__)

FOLDER = "search"
FACTS = "facts.safetensors"

Tensors = dict[str, NDArray[Any]]


def write_search(folder: Path, model: DomainModel) -> None:
    """Make the indexes of a release, if it has so many items that not all are to be scored.

    Without FAISS none is made, which is logged: all items are scored then.
    """
    n_items, wanted = len(model.vocabulary.item_ids), model.config.search
    if wanted.kind == "exact" or n_items <= wanted.exact_up_to or not is_searchable(model):
        return
    try:
        faiss()
    except ReleaseError as err:
        log.warning("no index of %d items is made, all will be scored: %s", n_items, err)
        return
    (folder / FOLDER).mkdir()
    facts: Tensors = {"unindexed": np.zeros(0, np.int64)}
    for signal in _dense(model):
        moments = moments_of(signal)
        shares = shares_of(model, signal, moments)
        index = ItemIndex.build(partial(shares.rows, signal), n_items)
        index.save(folder / FOLDER / f"{signal.name}.faiss")
        facts |= _named(signal.name, moments) | {f"{signal.name}.scales": shares.scales}
    _write(folder, facts)


def renew_search(
    folder: Path, before: DomainModel, model: DomainModel, unindexed: Sequence[int]
) -> None:
    """Of a release's copy that has grown: the indexes stay, and what they lack is noted.

    Args:
        folder: of the copy.
        before: the release's model.
        model: as it is now.
        unindexed: item_idx of the items that were added or described anew.
    """
    if not (folder / FOLDER / FACTS).is_file():
        return
    facts = {name: np.array(of) for name, of in map_tensors(folder / FOLDER / FACTS).items()}
    rows, n_before = np.sort(np.array(unindexed, np.int64)), len(before.vocabulary.item_ids)
    for was, now in zip(_dense(before), _dense(model), strict=True):
        gone = vectors_of(was, rows[rows < n_before])
        moments = _moments(facts, was.name).changed(n_before, gone, vectors_of(now, rows))
        facts |= _named(now.name, moments)
    (folder / FOLDER / FACTS).unlink()  # it may be the release's own file by a second name
    _write(folder, facts | {"unindexed": rows})


def load_search(folder: Path, model: DomainModel) -> ItemSearch | None:
    """What finds the items of a release; None: all are to be scored.

    Where FAISS is missing all are, too, which is logged.

    Raises:
        ReleaseError: a file is missing or cannot be read.
    """
    if not (folder / FOLDER).is_dir():
        return None
    try:
        faiss()
    except ReleaseError as err:
        log.warning("'%s' scores all items: %s", model.domain.name, err)
        return None
    try:
        facts = map_tensors(folder / FOLDER / FACTS)
    except (OSError, ValueError) as err:
        raise ReleaseError(
            f"{folder / FOLDER / FACTS} cannot be read ({err}); publish the release again"
        ) from err
    names = [signal.name for signal in _dense(model)]
    return ItemSearch(
        config=model.config.search,
        indexes={name: ItemIndex.load(folder / FOLDER / f"{name}.faiss") for name in names},
        scales={name: facts[f"{name}.scales"] for name in names},
        moments={name: _moments(facts, name) for name in names},
        unindexed=facts["unindexed"],
    )


def _dense(model: DomainModel) -> list[Dense]:
    return [signal for signal in model.signals_by_name.values() if isinstance(signal, DENSE)]


def _named(name: str, moments: Moments) -> Tensors:
    return {f"{name}.mean": moments.mean, f"{name}.covariance": moments.covariance}


def _moments(facts: Mapping[str, NDArray[Any]], name: str) -> Moments:
    return Moments.with_covariance(facts[f"{name}.mean"], facts[f"{name}.covariance"])


def _write(folder: Path, facts: Tensors) -> None:
    from safetensors.numpy import save_file  # a served replica only reads

    save_file(
        {name: np.ascontiguousarray(of) for name, of in facts.items()}, folder / FOLDER / FACTS
    )
