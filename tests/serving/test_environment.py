"""What the environment of a service's processes says."""

from __future__ import annotations

import socket

import pytest

from crossrec.errors import ServiceError
from crossrec.serving import environment


def test_services_on_one_machine_share_no_port_of_replicas(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(environment, "PORT_BLOCKS", range(20_000, 21_000, 500))
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("", 20_003))
        other.listen()
        found = environment.local_ray_environment()
    assert found["RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT"] == "20500"
    assert found["RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT"] == "20749"
    assert found["RAY_SERVE_DIRECT_INGRESS_MIN_GRPC_PORT"] == "20750"
    assert found["RAY_SERVE_FALLBACK_PROXY_HTTP_PORT"] == "20999"


def test_no_free_block_is_one_clear_sentence(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(environment, "PORT_BLOCKS", range(20_000, 20_500, 500))
    with socket.socket() as other:
        other.bind(("", 20_000))
        other.listen()
        with pytest.raises(ServiceError, match="no block of ports is free from 20000 to 20500"):
            environment.local_ray_environment()
