from __future__ import annotations

import io
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from crossrec.errors import (
    AuthError,
    ConfigError,
    ReleaseError,
    ServiceError,
    UnknownDomainError,
)
from crossrec.releases.store import ReleaseStore
from crossrec.serving import environment, launch, service_process
from crossrec.serving.auth import KeyRing
from crossrec.serving.environment import serve_environment
from crossrec.serving.haproxy import write_wrapper
from crossrec.serving.launch import Service, ServiceReport, ServiceSettings, serve_domains
from crossrec.serving.process_tree import end_tree, tree_of
from tests.ports import free_port
from tests.small_release import SmallDomain


@pytest.fixture
def home(fresh_home: Path, films: SmallDomain) -> Path:
    films.publish(ReleaseStore())
    return fresh_home


def test_a_domain_without_release_is_refused_before_anything_starts(home: Path):
    with pytest.raises(UnknownDomainError, match="did you mean 'films'"):
        serve_domains(["filmz"], open_on_loopback=True)


def test_a_busy_port_is_refused_before_anything_starts(home: Path):
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        with pytest.raises(
            ConfigError, match=rf"127.0.0.1:{port} \(Address already in use\).*--port"
        ):
            serve_domains(["films"], port=port, open_on_loopback=True)


def test_trusted_proxies_that_cannot_be_read_are_refused_before_anything_starts(
    home: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("CROSSREC_TRUSTED_PROXIES", "ingress")
    with pytest.raises(ConfigError, match=r"PROXIES cannot be read: 'ingress' does not .*such as"):
        serve_domains(["films"], open_on_loopback=True)


def test_keys_are_asked_for_unless_it_is_loopback(home: Path):
    with pytest.raises(AuthError, match="no API key yet"):
        serve_domains(["films"])
    with pytest.raises(ConfigError, match=r"loopback only; got host 0\.0\.0\.0"):
        serve_domains(["films"], host="0.0.0.0", open_on_loopback=True)
    with pytest.raises(ConfigError, match="on a cluster"):
        serve_domains(["films"], open_on_loopback=True, address="auto")
    KeyRing().create("app", ["read"])
    with pytest.raises(ConfigError, match="cannot listen on 192"):
        serve_domains(["films"], host="192.0.2.1")


def test_a_release_of_another_encoder_is_refused_before_the_service_hears_of_it(
    home: Path, films: SmallDomain, tmp_path: Path
):
    before = ReleaseStore().show("films").version
    with subprocess.Popen(
        ["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        service = Service(process, ServiceSettings(domains=["films"]), tmp_path)
        films.publish(ReleaseStore(), "another-encoder", "0" * 64)
        with pytest.raises(ReleaseError, match="encoder another-encoder, which this service does"):
            service.update("films")
        assert ReleaseStore().show("films").version != before
        heard, _ = process.communicate(timeout=10)
    assert heard == ""


def test_a_caller_hears_each_step_before_the_answer(tmp_path: Path):
    lines = [ServiceReport(step="starting Ray"), ServiceReport(step="more"), ServiceReport()]
    code = f"print({'|'.join(one.model_dump_json() for one in lines)!r}.replace('|', chr(10)))"
    told: list[str] = []
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as one:
        launch._hear(one, tmp_path, told.append)
    assert told == ["starting Ray", "more"]


@pytest.mark.ray
def test_a_proxy_that_does_not_come_up_is_told_in_one_sentence(
    home: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(environment, "PROXY_START_S", 0.001)
    with pytest.raises(ServiceError, match=r"^the proxy of Ray Serve did not come up, .*") as err:
        serve_domains(["films"], port=free_port(), open_on_loopback=True)
    assert "\n" not in str(err.value)
    (told,) = re.findall(r"the reason is in (\S+)\)$", str(err.value))
    assert "ray.exceptions" in Path(told).read_text("utf-8")


def test_an_error_that_is_not_ours_is_told_by_its_first_line(
    home: Path, monkeypatch: pytest.MonkeyPatch
):
    reports = io.StringIO()
    service_process._report(reports, RuntimeError("no room\nTraceback (most recent call last)"))
    told = ServiceReport.model_validate_json(reports.getvalue())
    assert told.kind == "ServiceError"
    assert told.error is not None
    assert told.error.startswith("the service could not do it (RuntimeError: no room); the reason")


def test_a_service_stops_though_ctrl_c_left_the_lock_of_its_process_taken(
    home: Path, tmp_path: Path
):
    folder = tmp_path / "service"
    folder.mkdir()
    process = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    service = Service(process, ServiceSettings(domains=["films"]), folder)
    with process._waitpid_lock:  # type: ignore[attr-defined]  # as an interrupt in poll leaves it
        service.stop()
    assert not psutil.pid_exists(process.pid)
    assert not folder.exists()


def test_a_wrapper_never_runs_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "crossrec-haproxy"
    monkeypatch.delenv("RAY_SERVE_HAPROXY_BINARY_PATH", raising=False)
    plain = write_wrapper(path).read_text()
    monkeypatch.setenv("RAY_SERVE_HAPROXY_BINARY_PATH", str(path))
    assert write_wrapper(path).read_text() == plain  # it is there
    path.unlink()
    assert write_wrapper(path).read_text() == plain  # it is not there yet


def test_haproxy_listens_on_loopback_with_all_it_has(tmp_path: Path):
    """The script is run for real: HAProxy checks the amended file and says that it is valid."""
    environment = serve_environment("haproxy", tmp_path)
    stats = environment["RAY_SERVE_HAPROXY_STATS_PORT"]
    metrics = environment["RAY_SERVE_HAPROXY_METRICS_PORT"]
    config = tmp_path / "haproxy.cfg"
    config.write_text(
        f"""defaults
    mode http
    timeout connect 1s
    timeout client 1s
    timeout server 1s
frontend prometheus
    bind :{metrics}
    http-request use-service prometheus-exporter
frontend http_frontend
    bind *:8000
    default_backend none
backend none
listen stats
  bind *:{stats}
  stats enable
"""
    )
    script = environment["RAY_SERVE_HAPROXY_BINARY_PATH"]
    subprocess.run([script, "-c", "-f", str(config)], check=True, capture_output=True)
    subprocess.run([script, "-c", "-f", str(config)], check=True, capture_output=True)
    assert config.read_text().count("option forwardfor") == 1
    binds = [line.split()[1] for line in config.read_text().splitlines() if "bind" in line]
    assert binds == [f"127.0.0.1:{metrics}", "*:8000", f"127.0.0.1:{stats}"]


def test_a_tree_is_ended_with_its_grandchildren_and_nothing_else():
    code = (
        "import subprocess, sys, time\n"
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print('up', flush=True); time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    tree = tree_of(process.pid)
    assert len(tree) == 2
    end_tree(tree)
    process.wait()
    process.stdout.close()
    assert not [one for one in tree if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]
    assert psutil.pid_exists(os.getpid())
    assert tree_of(process.pid) == []
