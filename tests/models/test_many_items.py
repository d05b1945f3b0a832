"""How texts of very many items are stored: once, in single precision, read where they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from crossrec.models import domain_model, text_signals
from crossrec.models.domain_model import DomainModel
from crossrec.models.tensor_file import map_tensors
from tests.small_release import SmallDomain


def _stored(films: SmallDomain, folder: Path) -> DomainModel:
    folder.mkdir()
    films.model.save(folder)
    return DomainModel.load(folder)


def test_texts_of_very_many_items_are_stored_once_and_not_copied(
    films: SmallDomain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    small = _stored(films, tmp_path / "few")
    for module in (text_signals, domain_model):
        monkeypatch.setattr(module, "FEW_ITEMS", 10)
    many = _stored(films, tmp_path / "many")
    tensors = map_tensors(tmp_path / "many" / "model.safetensors")
    assert "request.vectors" not in tensors
    assert tensors["text.vectors"].dtype == np.float32
    text, request = many.signals_by_name["text"], many.signals_by_name["request"]
    assert text.vectors is request.vectors
    assert not text.vectors.flags.owndata  # a view on the file
    np.testing.assert_array_equal(text.vectors, films.model.signals_by_name["text"].vectors)
    assert map_tensors(tmp_path / "few" / "model.safetensors")["text.vectors"].dtype == np.float16
    few = small.signals_by_name["request"]
    np.testing.assert_allclose(few.exact(), request.exact(), atol=1e-3)
