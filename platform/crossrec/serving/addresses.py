"""Where a request came from, told by proxies that are trusted to say whom they speak for.

`$CROSSREC_TRUSTED_PROXIES`: networks, separated by commas. Loopback is always among them, for this
machine's HAProxy; on a cluster the proxy of each node asks the replicas of the others, so the
nodes' network belongs there too, and any ingress before them. Leaves to others: having HAProxy say
so (haproxy.py), what is done with an address (learned_weights.py).
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from crossrec.errors import ConfigError

TRUSTED_PROXIES = "CROSSREC_TRUSTED_PROXIES"
LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))

Network = IPv4Network | IPv6Network


def trusted_proxies() -> list[Network]:
    """Networks whose word on callers counts.

    Raises:
        ConfigError: the variable has something else than networks.
    """
    given = os.environ.get(TRUSTED_PROXIES, "").split(",")
    try:
        return [*LOOPBACK, *(ipaddress.ip_network(one.strip()) for one in given if one.strip())]
    except ValueError as err:
        raise ConfigError(
            f"${TRUSTED_PROXIES} cannot be read: {err}; expected networks of proxies, separated by"
            " commas, such as 10.0.0.0/8,192.168.1.7"
        ) from err


def address_of(
    caller: str | None, forwarded: Sequence[str], trusted: Sequence[Network]
) -> str | None:
    """Who called: the nearest address that is no trusted proxy's.

    What stands before it in `X-Forwarded-For` is that caller's own word, and so is anything that is
    no address. Where only proxies are named it is the farthest.

    Args:
        caller: who is on the other end of the connection.
        forwarded: values of the headers `X-Forwarded-For`, in order.
        trusted: as `trusted_proxies` gives them.

    >>> address_of("127.0.0.1", ["9.9.9.9, 10.0.0.7"], LOOPBACK)
    '10.0.0.7'
    >>> nodes = ipaddress.ip_network("10.0.0.0/8")
    >>> address_of("127.0.0.1", ["9.9.9.9, 10.0.0.7"], [*LOOPBACK, nodes])
    '9.9.9.9'
    >>> address_of("10.0.0.8", ["9.9.9.9"], LOOPBACK)
    '10.0.0.8'
    """
    found = caller
    named = [one.strip() for value in forwarded for one in value.split(",")]
    for hop in [] if caller is None else [caller, *reversed(named)]:
        address = _address(hop)
        if address is None:
            break
        found = str(address)
        if not any(address in network for network in trusted):
            break
    return found


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    # what an IPv6 socket calls a caller over IPv4
    return (isinstance(found, IPv6Address) and found.ipv4_mapped) or found
