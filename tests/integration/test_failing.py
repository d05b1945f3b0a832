"""What a caller hears of a failure that no app of ours catches."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from crossrec.models.encoder import TextEncoder
from crossrec.releases.store import ReleaseStore
from crossrec.serving.launch import Mode, ServiceSettings, start
from tests.models.tiny import make_tiny_encoder
from tests.ports import free_port
from tests.serving.fuzzed import HIDDEN
from tests.small_release import make_small_domain

pytestmark = pytest.mark.ray


@pytest.mark.parametrize("mode", ["haproxy", "plain"])
def test_a_route_that_fails_in_serve_tells_nothing_of_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: Mode
):
    monkeypatch.setenv("CROSSREC_HOME", str(tmp_path))
    encoder = TextEncoder.load(make_tiny_encoder(tmp_path / "tiny"), precision="fp32")
    films = make_small_domain(tmp_path / "data" / "films", "films", encoder.encode)
    films.publish(ReleaseStore(), encoder.name, encoder.fingerprint)
    settings = ServiceSettings(domains=["films"], port=free_port(), access="loopback", mode=mode)
    with start(settings, "tests.integration.failing_beside") as service:
        answer = httpx.get(f"{service.address}/fails", timeout=30)
    assert answer.status_code == 500
    assert not HIDDEN.search(answer.text)
    assert "secret" not in answer.text
