"""What the environment of a service's processes says."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from crossrec.errors import ServiceError
from crossrec.serving import environment


# Below the blocks of services that other tests start, whose ports wait for a while after their end.
def test_services_on_one_machine_share_no_port_of_replicas(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(environment, "PORT_BLOCKS", range(19_000, 20_000, 500))
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("", 19_003))
        other.listen()
        found = environment.local_ray_environment()
    assert found["RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT"] == "19500"
    assert found["RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT"] == "19749"
    assert found["RAY_SERVE_DIRECT_INGRESS_MIN_GRPC_PORT"] == "19750"
    assert found["RAY_SERVE_FALLBACK_PROXY_HTTP_PORT"] == "19999"


def test_no_free_block_is_one_clear_sentence(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(environment, "PORT_BLOCKS", range(19_000, 19_500, 500))
    with socket.socket() as other:
        other.bind(("", 19_000))
        other.listen()
        with pytest.raises(ServiceError, match="no block of ports is free from 19000 to 19500"):
            environment.local_ray_environment()


def test_settings_for_throughput_go_with_haproxy_unless_the_caller_says_otherwise(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    def throughput(mode: str) -> str:
        return environment.serve_environment(mode, tmp_path)[environment.THROUGHPUT]

    monkeypatch.delenv(environment.THROUGHPUT, raising=False)
    assert (throughput("haproxy"), throughput("plain")) == ("1", "0")
    for said in ("0", "1"):
        monkeypatch.setenv(environment.THROUGHPUT, said)
        assert throughput("haproxy") == throughput("plain") == said
