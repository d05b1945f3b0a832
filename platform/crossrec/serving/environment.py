"""Environment of a service's processes: Serve reads most of its settings from there.

Leaves to others: starting them (launch.py), what runs as HAProxy (haproxy.py). Names and defaults
checked on Ray 2.60.
"""

from __future__ import annotations

import os
import random
import secrets
import socket
from itertools import islice
from pathlib import Path

from crossrec.errors import ServiceError
from crossrec.serving.haproxy import write_wrapper

HAPROXY_THREADS = 2
PORT_BLOCKS = range(20_000, 30_000, 500)
"""Where blocks of ports for replicas begin; below those that the system gives to connections."""
SINGLE_PORTS = range(31_000, 32_700)
"""Above the ports of Serve and its replicas, below those of connections (Linux)."""
THROUGHPUT = "RAY_SERVE_THROUGHPUT_OPTIMIZED"
"""Serve's settings for throughput: gRPC between replicas, no thread of its own for our code."""
_given: set[int] = set()
PROBED_PORTS = 10
PROXY_CHECK_S = 2
"""How often Serve looks whether the proxy lives; after three times that it does not it is started
anew. Serve's own ten seconds would leave nobody to answer for half a minute."""
PROXY_START_S = 20
"""What a proxy may take to start before Serve starts another one. Serve's own five seconds are not
enough on a busy machine, and who waits for the first proxy then gets an error."""
DRAIN_S = 2
"""How long a replica that leaves still answers, and HAProxy keeps old connections."""


def serve_environment(mode: str, folder: Path) -> dict[str, str]:
    """Variables for one service on this machine, whose files lie in `folder`.

    OMP_NUM_THREADS keeps numpy in the replicas of many domains from fighting over the cores.
    Serve's settings for throughput go with HAProxy (`serve_modes`), unless the caller's environment
    says otherwise.

    Raises:
        ConfigError: HAProxy is asked for and not installed.
    """
    common = {
        "OMP_NUM_THREADS": "1",
        # glibc: what one thread frees another may use; large arrays go back when they are freed.
        "MALLOC_ARENA_MAX": "2",
        "MALLOC_MMAP_THRESHOLD_": str(128 << 10),
        "MALLOC_TRIM_THRESHOLD_": str(128 << 10),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_worker_niceness": "0",  # Ray's 15 is for batch work; here somebody waits
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": str(DRAIN_S),
        "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": str(PROXY_CHECK_S),
        "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": str(PROXY_START_S),
        "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "crossrec.serving.request_ids.middlewares",
    }
    throughput = os.environ.get(THROUGHPUT)
    if mode == "plain":
        return common | {"RAY_SERVE_ENABLE_HA_PROXY": "0", THROUGHPUT: throughput or "0"}
    stats_port, metrics_port = free_ports(2)
    wrapper = write_wrapper(folder / "haproxy-loopback", [stats_port, metrics_port])
    own = {
        name: str(folder / file)
        for name, file in {
            "CONFIG_FILE_LOC": "haproxy.cfg",
            "SOCKET_PATH": "admin.sock",
            "SERVER_STATE_BASE": "state",
            "SERVER_STATE_FILE": "server-state",
            "METRICS_SOCKET_PATH": "metrics.sock",
        }.items()
    }
    own |= {
        "BINARY_PATH": str(wrapper),
        "STATS_PORT": str(stats_port),
        "METRICS_PORT": str(metrics_port),
        "NBTHREAD": str(HAPROXY_THREADS),
        "HARD_STOP_AFTER_S": str(DRAIN_S),
    }
    return (
        common
        | {"RAY_SERVE_ENABLE_HA_PROXY": "1", THROUGHPUT: throughput or "1"}
        | {f"RAY_SERVE_HAPROXY_{name}": value for name, value in own.items()}
    )


def local_ray_environment() -> dict[str, str]:
    """Variables for a Ray that is started along with the service: a token of its own.

    Ray's ports listen on all interfaces; without the token they do nothing for anybody. The ports
    of its replicas and of the proxy behind HAProxy are a block of its own: every Serve (2.60) takes
    30000 onwards and 8500 and shares them (SO_REUSEPORT), so that of two services on one machine
    each would now and then answer the other's requests.

    Raises:
        ServiceError: all blocks are in use.
    """
    free = [start for start in PORT_BLOCKS if _is_unused(start)]
    if not free:
        blocks = f"{PORT_BLOCKS.start} to {PORT_BLOCKS.stop}"
        raise ServiceError(f"no block of ports is free from {blocks}; stop other services first")
    first = secrets.choice(free)
    last = first + PORT_BLOCKS.step - 1
    grpc = first + PORT_BLOCKS.step // 2
    ports = {
        "FALLBACK_PROXY_HTTP": last,
        "FALLBACK_PROXY_GRPC": last - 1,
        "DIRECT_INGRESS_MIN_HTTP": first,
        "DIRECT_INGRESS_MAX_HTTP": grpc - 1,
        "DIRECT_INGRESS_MIN_GRPC": grpc,
        "DIRECT_INGRESS_MAX_GRPC": last - 2,
    }
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    return token | {f"RAY_SERVE_{name}_PORT": str(port) for name, port in ports.items()}


def _is_unused(block: int) -> bool:
    """Whether nobody listens on the first ports of a block, which are taken in order."""
    try:
        for port in range(block, block + PROBED_PORTS):
            with socket.socket() as probe:
                probe.bind(("", port))
    except OSError:
        return False
    return True


def free_ports(n: int) -> list[int]:
    """Ports of loopback that nobody listens on now, none of them given before by this process.

    A port that the system chose is free when asked and may be a connection's a second later, when
    the service that it was meant for starts; these are not in the system's own range.

    Raises:
        ServiceError: fewer are free.
    """
    in_some_order = random.sample(SINGLE_PORTS, len(SINGLE_PORTS))
    free = (port for port in in_some_order if port not in _given and _is_free(port))
    found = list(islice(free, n))
    if len(found) < n:
        between = f"{SINGLE_PORTS.start} and {SINGLE_PORTS.stop}"
        raise ServiceError(f"{len(found)} of {n} ports are free between {between}; stop services")
    _given.update(found)
    return found


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
