"""How item texts are stored: as they are, read where they lie, once if nothing moved them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from crossrec.models.domain_model import DomainModel
from crossrec.models.tensor_file import map_tensors
from crossrec.models.text_signals import RequestSignal, unit
from tests.small_release import SmallDomain


def _stored(model: DomainModel, folder: Path) -> DomainModel:
    folder.mkdir()
    model.save(folder)
    return DomainModel.load(folder)


def test_texts_that_no_adapter_moved_are_stored_once(films: SmallDomain, tmp_path: Path):
    stored = _stored(films.model, tmp_path / "plain")
    assert "request.vectors" not in map_tensors(tmp_path / "plain" / "model.safetensors")
    text, request = stored.signals_by_name["text"], stored.signals_by_name["request"]
    assert stored.shares_texts
    assert text.vectors is request.vectors
    assert not text.vectors.flags.owndata  # a view on the file
    np.testing.assert_array_equal(text.vectors, films.model.signals_by_name["text"].vectors)


def test_texts_that_an_adapter_moved_stand_beside_the_others(films: SmallDomain, tmp_path: Path):
    request = films.model.signals_by_name["request"]
    assert isinstance(request, RequestSignal)
    moved = replace(request, vectors=unit(request.vectors[::-1] + 1))
    signals = films.model.signals_by_name | {"request": moved}
    stored = _stored(replace(films.model, signals_by_name=signals), tmp_path / "adapted")
    found = stored.signals_by_name["request"]
    assert isinstance(found, RequestSignal)
    assert not stored.shares_texts
    assert not found.vectors.flags.owndata
    np.testing.assert_array_equal(found.vectors, moved.vectors)
    assert np.abs(stored.signals_by_name["text"].vectors - found.vectors).max() > 1e-3
