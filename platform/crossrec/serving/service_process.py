"""The process of a service: reads settings and orders as lines of JSON, reports in kind.

Run by launch.py as `python -m crossrec.serving.service_process`. The end of its input is the
order to stop, so it ends with whoever started it, however that one ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import os
import signal
import sys
from collections.abc import Callable
from functools import cache
from typing import TextIO

import psutil
import ray
from ray import serve
from ray.exceptions import RayError

from crossrec.errors import CrossrecError, ReleaseError, ServiceError
from crossrec.releases.store import CURRENT
from crossrec.serving import plain_proxy
from crossrec.serving.applications import (
    N_CPUS,
    build_encoder,
    build_system,
    shared_targets,
    targets_of,
)
from crossrec.serving.arguments import (
    ENCODER_APPLICATION,
    LEARNER_APPLICATION,
    SHARED_APPLICATION,
    SYSTEM_APPLICATION,
    DomainArguments,
    Hosted,
    Scaled,
    SharedArguments,
    Told,
    apart_of,
    domain_application,
    parse,
    shadow_application,
)
from crossrec.serving.asking import answer_of, shared_handle
from crossrec.serving.environment import DRAIN_S
from crossrec.serving.launch import ServiceOrder, ServiceReport, ServiceSettings
from crossrec.serving.learning_service import build_learner
from crossrec.serving.logs import keep_log, log_file
from crossrec.serving.process_tree import end_tree, tree_of
from crossrec.serving.traffic import ExperimentStore

log = logging.getLogger("crossrec.serving.service_process")  # __name__ is __main__

OWN_LOG = ("service", str(os.getpid()))
DOMAINS_TO_COME = 20
"""That may be deployed while it runs, or be in a shadow."""
HOSTED_TIMEOUT_S = 30.0
OBJECT_STORE_BYTES = 80 << 20  # Ray's least is 75 MiB; requests do not go through the store


def main(more: Callable[[], list[serve.RunTarget]] = list) -> None:
    """Start, follow orders, stop; `more` gives further applications to run beside."""
    reports = _own_output()
    keep_log(*OWN_LOG)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    settings = ServiceSettings.model_validate_json(sys.stdin.readline())
    try:
        try:
            _send(reports, ServiceReport(step="starting Ray"))
            _connect(settings)
            _send(reports, ServiceReport(step="starting the encoder and the domains"))
            serve.run_many([*_targets(settings), *more()], wait_for_applications_running=True)
            _expect_all(settings)
        except Exception as err:
            _report(reports, err)
            return
        _report(reports, None)
        for line in sys.stdin:
            _report(reports, _follow(settings, ServiceOrder.model_validate_json(line)))
    finally:
        _disconnect(settings)


def _own_output() -> TextIO:
    """Standard output for reports alone; whatever else prints goes to the log."""
    reports = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return reports


def _report(reports: TextIO, error: Exception | None) -> None:
    """One sentence; the whole error goes to the log."""
    report = ServiceReport()
    if error is not None:
        log.error("what was asked for could not be done", exc_info=error)
        ours = isinstance(error, CrossrecError)
        text = str(error) if ours else _unexpected(error)
        report = ServiceReport(error=text, kind=type(error).__name__ if ours else "ServiceError")
    _send(reports, report)


def _unexpected(error: Exception) -> str:
    first = str(error).strip().partition("\n")[0][:200]
    told = f"{type(error).__name__}: {first}".rstrip(" .:")
    return f"the service could not do it ({told}); the reason is in {log_file(*OWN_LOG)}"


def _send(reports: TextIO, report: ServiceReport) -> None:
    reports.write(report.model_dump_json() + "\n")
    reports.flush()


def _connect(settings: ServiceSettings) -> None:
    if settings.address is not None:
        ray.init(address=settings.address, log_to_driver=False)
    else:
        ray.init(
            num_cpus=_logical_cpus(settings),
            include_dashboard=False,
            object_store_memory=OBJECT_STORE_BYTES,
            log_to_driver=False,
            _node_ip_address="127.0.0.1",  # all of Ray on loopback
            _temp_dir=settings.temp_folder,
        )
    try:
        serve.start(http_options={"host": settings.host, "port": settings.port})
    except (RayError, TimeoutError) as err:
        raise ServiceError(
            "the proxy of Ray Serve did not come up, as happens where a machine has too much to"
            f" do; try again when it has less (the reason is in {log_file(*OWN_LOG)})"
        ) from err


def _logical_cpus(settings: ServiceSettings) -> int:
    """What Ray counts with: room for all replicas that may be, and for domains to come."""
    each = settings.max_replicas or settings.replicas
    n_domains = len(settings.domains) + DOMAINS_TO_COME
    encoders = 0.5 * (settings.max_encoders or 1)
    return max(2, math.ceil(0.5 + encoders + N_CPUS * each * n_domains))


def _targets(settings: ServiceSettings) -> list[serve.RunTarget]:
    """All applications of the service; without domains there are none."""
    if not settings.domains:
        return []
    scaled = settings.model_dump(include=set(Scaled.model_fields))
    encoder = scaled | {"replicas": 1, "max_replicas": settings.max_encoders}
    encoder |= {"domains": settings.domains}
    system = {"access": settings.access, **scaled}
    return [
        serve.RunTarget(build_encoder(encoder), ENCODER_APPLICATION, None),
        serve.RunTarget(build_system(system), SYSTEM_APPLICATION, "/"),
        serve.RunTarget(build_learner({}), LEARNER_APPLICATION, None),
        *_sharing(settings),
        *[one for domain in settings.apart for one in _apart(settings, domain, CURRENT)],
    ]


def _sharing(settings: ServiceSettings) -> list[serve.RunTarget]:
    """The application of the domains that have none of their own."""
    domains = [domain for domain in settings.domains if domain not in settings.apart]
    if not domains:
        return []
    scaled = settings.model_dump(include=set(Scaled.model_fields))
    told = {"domains": domains, "access": settings.access, **scaled}
    return shared_targets(parse(SharedArguments, told))


def _apart(settings: ServiceSettings, domain: str, version: str) -> list[serve.RunTarget]:
    scaled = settings.model_dump(include=set(Scaled.model_fields))
    arguments = DomainArguments(domain=domain, version=version, access=settings.access, **scaled)
    return targets_of(arguments)


def _follow(settings: ServiceSettings, order: ServiceOrder) -> Exception | None:
    """Serve another release of one domain to everybody."""
    try:
        ExperimentStore().write(order.domain, None)
        if order.domain in settings.apart:
            targets = _apart(settings, order.domain, order.version)
        else:
            told = Told(domain=order.domain, version=order.version)
            targets = shared_targets(_hosted().arguments.with_one(told))
        serve.run_many(targets, wait_for_applications_running=True)
        _expect_all(settings)
    except Exception as err:
        return err
    return None


def _hosted() -> Hosted:
    """What the shared replicas answer for."""

    async def asked() -> Hosted:
        hosted: Hosted = await answer_of(shared_handle().hosted.remote(), HOSTED_TIMEOUT_S)
        return hosted

    return _runner().run(asked())


@cache
def _runner() -> asyncio.Runner:
    """Serve keeps handles, and a handle keeps to the event loop it was first used on."""
    return asyncio.Runner()


def _expect_all(settings: ServiceSettings) -> None:
    """Raise where a domain that shares replicas is not as it was told to be.

    Raises:
        ReleaseError: with the reason.
    """
    if set(settings.domains) <= set(settings.apart):
        return
    for domain, reason in _hosted().failed.items():
        raise ReleaseError(f"'{domain}' cannot be served: {reason}")


def _disconnect(settings: ServiceSettings) -> None:
    """A local cluster ends whole; on another one only our applications do."""
    if not ray.is_initialized():
        return
    if settings.address is not None:
        for name in _ours(settings):
            serve.delete(name, _blocking=False)
    elif settings.mode == "plain":
        plain_proxy.let_finish(DRAIN_S + 1)
    below = tree_of(os.getpid())[1:]
    _let_finish(below)
    ray.shutdown()
    end_tree(below)  # HAProxy is no process of Ray's own


def _let_finish(processes: list[psutil.Process]) -> None:
    """HAProxy takes no more, and ends once all that is under way is answered, or after DRAIN_S."""
    proxies = [process for process in processes if _is_haproxy(process)]
    for proxy in proxies:
        with contextlib.suppress(psutil.NoSuchProcess):
            proxy.send_signal(signal.SIGUSR1)
    psutil.wait_procs(proxies, DRAIN_S + 1)


def _is_haproxy(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return str(process.name()) == "haproxy"
    return False


def _ours(settings: ServiceSettings) -> list[str]:
    """Applications of this service, those that were deployed since among them."""
    found = serve.status().applications
    domains = {*settings.domains, *apart_of(found)}
    names = [
        place(one) for one in sorted(domains) for place in (domain_application, shadow_application)
    ]
    names += [SHARED_APPLICATION, SYSTEM_APPLICATION, LEARNER_APPLICATION, ENCODER_APPLICATION]
    return [name for name in names if name in found]


if __name__ == "__main__":
    main()
