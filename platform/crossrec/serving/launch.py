"""Starts and stops a service on this machine, or its applications on a Ray cluster.

The service lives in a process of its own (service_process.py): Serve reads its settings from the
environment before it is imported, and the caller may have a Ray of its own. Leaves to others:
the applications (deployments.py). Needs neither Ray nor torch itself.
"""

from __future__ import annotations

import ipaddress
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Literal, cast

from pydantic import BaseModel, ConfigDict

from crossrec.config import home
from crossrec.errors import (
    AuthError,
    ConfigError,
    ReleaseError,
    ServiceError,
    error_class,
    suggest,
)
from crossrec.releases.store import CURRENT, ReleaseStore
from crossrec.serving.addresses import trusted_proxies
from crossrec.serving.arguments import Scaled, parse
from crossrec.serving.auth import KeyRing
from crossrec.serving.environment import local_ray_environment, serve_environment
from crossrec.serving.process_tree import end_tree, has_ended, tree_of
from crossrec.serving.retention import keep_feedback_days
from crossrec.serving.shared_encoder import encoder_of

Mode = Literal["haproxy", "plain"]
Tell = Callable[[str], None]

SERVICE_MODULE = "crossrec.serving.service_process"
START_TIMEOUT_S = 300.0
STOP_TIMEOUT_S = 20.0
START_STOP_S = 2.0
"""While it still starts it hears no order and answers nobody: what is there is ended."""
_POLL_S = 0.25


class ServiceSettings(BaseModel):
    """What the service's process is told, as one line of JSON."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    domains: list[str]
    host: str = "127.0.0.1"
    port: int = 8000
    access: Literal["keys", "loopback"] = "keys"
    mode: Mode = "haproxy"
    address: str | None = None
    replicas: int = 1
    max_replicas: int | None = None
    """As many as the load asks for, up to this; None: always `replicas`."""
    max_encoders: int | None = None
    give_back_after_s: float = 60.0
    apart: list[str] = []
    """Domains with replicas of their own; the others share theirs."""
    temp_folder: str = ""
    """Of Ray's session and HAProxy's files."""


class ServiceReport(BaseModel):
    """What the service's process answers to settings or to an order, as one line of JSON; before
    the answer to settings it says each step.
    """

    step: str = ""
    """What is done now; more is to come. Empty: this is the answer."""
    error: str | None = None
    kind: str = ""
    """Class of the error in `crossrec.errors`."""


class ServiceOrder(BaseModel):
    """What the running service is asked to do, as one line of JSON."""

    domain: str
    version: str


class Service:
    """A running service; stop it, or use it as a context manager.

    Attributes:
        domains: names of those served.
        address: base address of the API.
    """

    def __init__(
        self, process: subprocess.Popen[str], settings: ServiceSettings, folder: Path
    ) -> None:
        """A process that was told its settings.

        Args:
            folder: its own, for log and sockets; removed when it stops.
        """
        self._process, self._folder = process, folder
        self.domains = list(settings.domains)
        current = [ReleaseStore().show(domain) for domain in self.domains[:1]]
        self._encoders = {release.manifest.encoder_fingerprint for release in current}
        host = "127.0.0.1" if settings.host in ("0.0.0.0", "::") else settings.host
        self.address = f"http://{host}:{settings.port}"

    def __enter__(self) -> Service:
        return self

    def __exit__(self, *ended: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """Of the service's process; everything it runs is below it."""
        return self._process.pid

    def update(self, domain: str, version: str = CURRENT) -> str:
        """Serve another release of a domain without a restart; the version it now serves.

        Raises:
            ReleaseError, UnknownDomainError: there is no such release, it does not verify, or it
                was made with another encoder; the one before is still served.
            ServiceError: the service has ended.
        """
        if domain not in self.domains:
            raise ServiceError(f"'{domain}' is not served here; served: {', '.join(self.domains)}")
        release = ReleaseStore().verify(domain, version)
        if release.manifest.encoder_fingerprint not in self._encoders:
            raise ReleaseError(
                f"release {release.version} of '{domain}' was made with the encoder"
                f" {release.manifest.encoder}, which this service does not run; train it on the"
                " service's encoder, or serve it apart"
            )
        order = ServiceOrder(domain=domain, version=release.version)
        _tell(self._process, order)
        _hear(self._process, self._folder)
        return release.version

    def wait(self) -> int:
        """Block until the service ends by itself; its exit code."""
        # Short waits: polars (2.1) restarts an endless one after Ctrl-C, which would go unheard.
        while not has_ended(self._process.pid, _POLL_S):
            pass
        return self._process.wait()

    def stop(self) -> None:
        """End the service and everything it started; may be called again."""
        _stop(self._process, self._folder)


def serve_domains(
    domains: Sequence[str],
    host: str = "127.0.0.1",
    port: int = 8000,
    open_on_loopback: bool = False,
    *,
    mode: Mode = "haproxy",
    address: str | None = None,
    replicas: int = 1,
    max_replicas: int | None = None,
    max_encoders: int | None = None,
    give_back_after_s: float = 60.0,
    apart: Sequence[str] = (),
    tell: Tell = lambda step: None,
) -> Service:
    """Serve the current releases of some domains, and return once they answer.

    Args:
        domains: names, each with a release of the same encoder.
        host: address to listen on; `0.0.0.0` for all.
        port: TCP port.
        open_on_loopback: no keys, but callers from this machine only.
        mode: haproxy: HAProxy in front and Serve's throughput settings; plain: Serve's own proxy.
        address: an existing Ray cluster; None: a local one that ends with the service.
        replicas: that answer for the domains, each for all that share them.
        max_replicas: as many run as the load asks for. None: always `replicas`.
        max_encoders: replicas of the encoder, likewise; None: one.
        give_back_after_s: seconds of less load after which a further replica ends.
        apart: those of the domains that get as many replicas of their own, which share neither
            processor time nor fate with other domains.
        tell: told each step in words.

    Raises:
        UnknownDomainError, ReleaseError: a domain has no release, or they share no encoder.
        ConfigError: the port is taken, the access is not safe, fewer replicas at most than at
            least, a domain is to be apart that is none of the domains, the trusted proxies are
            no networks, or feedback is to be kept for no number of days.
        AuthError: keys are asked for and none exists.
        ServiceError: the service did not come up; the message has the end of its log.
    """
    access: Literal["keys", "loopback"] = "loopback" if open_on_loopback else "keys"
    encoder_of(domains, ReleaseStore())
    _check_access(access, host, address)
    trusted_proxies()  # to say what is wrong with them here and now
    keep_feedback_days()
    for name in apart:
        if name not in domains:
            raise ConfigError(f"'{name}' is to be apart and not served: {suggest(name, domains)}")
    settings = ServiceSettings(
        domains=list(domains),
        host=host,
        port=port,
        access=access,
        mode=mode,
        address=address,
        replicas=replicas,
        max_replicas=max_replicas,
        max_encoders=max_encoders,
        give_back_after_s=give_back_after_s,
        apart=list(apart),
    )
    parse(Scaled, settings.model_dump(include=set(Scaled.model_fields)))
    return start(settings, tell=tell)


def start(
    settings: ServiceSettings, module: str = SERVICE_MODULE, tell: Tell = lambda step: None
) -> Service:
    """Run a service's process and wait until it reports that it is up; `tell` hears each step.

    Raises:
        ConfigError: the port is taken.
        CrossrecError: what the process reports.
        ServiceError: it ended, or said nothing in time.
    """
    _check_port(settings.host, settings.port)
    # Short, for Ray's sockets below it: the path of a Unix socket has at most 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="crossrec-"))
    settings = settings.model_copy(update={"temp_folder": str(folder)})
    try:
        process = _spawn(settings, folder, module)
    except BaseException:
        shutil.rmtree(folder)
        raise
    try:
        _tell(process, settings)
        _hear(process, folder, tell)
    except BaseException:
        _stop(process, folder, START_STOP_S)
        raise
    return Service(process, settings, folder)


def _spawn(settings: ServiceSettings, folder: Path, module: str) -> subprocess.Popen[str]:
    environment = os.environ | serve_environment(settings.mode, folder)
    environment["CROSSREC_HOME"] = str(home())
    if settings.address is None:
        environment |= local_ray_environment()
        environment.pop("RAY_ADDRESS", None)
    with _log(folder).open("w", encoding="utf-8") as log:
        return subprocess.Popen(
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=environment,
            start_new_session=True,  # Ctrl-C reaches the caller, which then stops it in order
        )


def _check_access(access: str, host: str, address: str | None) -> None:
    if access == "keys":
        if not KeyRing().list():
            raise AuthError(
                "there is no API key yet; make one with: crossrec keys create NAME, or serve"
                " without keys to this machine only, with: --open-on-loopback"
            )
        return
    if not _is_loopback(host) or address is not None:
        raise ConfigError(
            f"without keys a service listens on loopback only; got host {host}"
            f"{' on a cluster' if address else ''}: use keys, or host 127.0.0.1 on this machine"
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _check_port(host: str, port: int) -> None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as err:
            raise ConfigError(
                f"cannot listen on {host}:{port} ({err.strerror}); stop what uses the port, or"
                " choose another one with --port"
            ) from err


def _tell(process: subprocess.Popen[str], message: BaseModel) -> None:
    try:
        stream = cast("IO[str]", process.stdin)
        stream.write(message.model_dump_json() + "\n")
        stream.flush()
    except (BrokenPipeError, ValueError) as err:
        raise ServiceError("the service has ended") from err


def _hear(process: subprocess.Popen[str], folder: Path, tell: Tell = lambda step: None) -> None:
    """Wait for the answer; `tell` hears the steps before it.

    Raises:
        CrossrecError: the one that is reported.
        ServiceError: the process ended, or said nothing in time.
    """
    timer = threading.Timer(START_TIMEOUT_S, process.kill)
    timer.start()
    try:
        while (report := _report_of(process, folder)).step:
            tell(report.step)
    finally:
        timer.cancel()
    if report.error is not None:
        raise error_class(report.kind, ServiceError)(report.error)


def _report_of(process: subprocess.Popen[str], folder: Path) -> ServiceReport:
    line = cast("IO[str]", process.stdout).readline()
    if not line:
        raise ServiceError(f"the service ended before it was up; its log says: {_tail(folder)}")
    return ServiceReport.model_validate(json.loads(line))


def _stop(process: subprocess.Popen[str], folder: Path, grace_s: float = STOP_TIMEOUT_S) -> None:
    tree = tree_of(process.pid)
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()  # the end of its orders tells the process to stop
    has_ended(process.pid, grace_s)
    end_tree(tree)
    process.poll()  # nothing is left to wait for; lets go of its number
    shutil.rmtree(folder, ignore_errors=True)


def _log(folder: Path) -> Path:
    return folder / "service.log"


def _tail(folder: Path, n_lines: int = 15) -> str:
    lines = _log(folder).read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(lines[-n_lines:]) or "(nothing)"
