"""Which of the peer's precisions ours stands beside."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from crossrec.config import RunConfig
from tests.benchmarks import user_model_speed as speed


@pytest.mark.parametrize("bf16", [2.0, 8.0])
def test_ours_as_shipped_stands_beside_the_faster_of_the_peer_s_precisions(
    bf16: float, monkeypatch: pytest.MonkeyPatch
):
    def theirs(_: Any, epochs: int, threads: int, precision: str) -> tuple[list[float], int]:
        return [{"fp32": 4.0, "bf16": bf16}[precision]] * epochs, 10

    prepared = SimpleNamespace(config=RunConfig(), data_hash="")
    monkeypatch.setattr(speed, "imported", lambda name: None)
    monkeypatch.setattr(speed, "prepare", lambda data, config: prepared)
    monkeypatch.setattr(speed, "theirs", theirs)
    monkeypatch.setattr(speed, "ours", lambda prepared, epochs, precision: [1.0] * epochs)
    shipped, fp32 = speed.measure("movies", 3, 2)
    assert shipped["peer_value"] == min(4.0, bf16)
    assert shipped["peer"].endswith("bf16" if bf16 < 4 else "fp32")
    assert "4.00 s in fp32" in shipped["protocol"]
    assert fp32["peer_value"] == 4.0
