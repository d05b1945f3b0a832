"""Maps of a catalogue; what is asked for over HTTP is in test_insight.py."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from crossrec.models.text_signals import RequestSignal, unit
from crossrec.releases.store import ReleaseStore
from crossrec.serving.drawing import item_map
from tests.small_release import make_small_domain


def test_a_release_with_an_adapter_has_its_texts_before_and_after(fresh_home: Path):
    films = make_small_domain(fresh_home / "data" / "films")
    plain = films.publish(ReleaseStore())
    request = films.model.signals_by_name["request"]
    assert isinstance(request, RequestSignal)
    mixing = np.random.default_rng(0).normal(size=(request.vectors.shape[1],) * 2)
    moved = replace(request, vectors=unit(request.vectors @ mixing.astype(np.float32)))
    model = replace(films.model, signals_by_name=films.model.signals_by_name | {"request": moved})
    adapter = fresh_home / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text("{}")
    adapted = ReleaseStore().publish(
        model, films.dataset, films.sequences, {}, "e", "f", 0, adapter_folder=adapter
    )
    before, after = (item_map("films", one.version)["views"] for one in (plain, adapted))
    assert set(after) == set(before) | {"adapted"}
    assert after["text"] == before["text"]
    assert after["adapted"] != after["text"]
