"""Whose word on callers counts, and who is the caller then."""

from __future__ import annotations

import asyncio
import ipaddress

import pytest

from crossrec.errors import ConfigError
from crossrec.serving.addresses import TRUSTED_PROXIES, address_of, trusted_proxies
from crossrec.serving.learned_weights import ADDRESS
from crossrec.serving.learning_routes import Addressed

NODES = "10.1.0.0/16"


@pytest.mark.parametrize(
    ("caller", "forwarded", "expected"),
    [
        ("127.0.0.1", [], "127.0.0.1"),
        ("127.0.0.1", ["9.9.9.9, 203.0.113.7"], "203.0.113.7"),  # what comes first anybody can say
        ("10.1.0.4", ["203.0.113.7"], "203.0.113.7"),  # the proxy of another node
        ("10.1.0.4", ["203.0.113.7, 10.1.9.9"], "203.0.113.7"),  # an ingress before it
        ("10.1.0.4", ["9.9.9.9, 203.0.113.7", "10.1.9.9"], "203.0.113.7"),  # a line of its own
        ("198.51.100.2", ["203.0.113.7"], "198.51.100.2"),  # no proxy of ours
        ("127.0.0.1", ["10.1.0.5"], "10.1.0.5"),  # an application on a node
        ("127.0.0.1", ["somebody, 10.1.0.5"], "10.1.0.5"),
        ("::ffff:10.1.0.4", ["2001:db8::7"], "2001:db8::7"),
        ("/run/socket", ["203.0.113.7"], "/run/socket"),
        (None, ["203.0.113.7"], None),
    ],
)
def test_the_caller_is_the_last_address_that_is_no_proxy_of_ours(
    caller: str | None, forwarded: list[str], expected: str | None, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv(TRUSTED_PROXIES, NODES)
    assert address_of(caller, forwarded, trusted_proxies()) == expected


def test_without_the_variable_only_this_machine_is_believed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv(TRUSTED_PROXIES, raising=False)
    trusted = trusted_proxies()
    assert address_of("10.1.0.4", ["203.0.113.7"], trusted) == "10.1.0.4"
    assert address_of("::1", ["203.0.113.7"], trusted) == "203.0.113.7"


def test_networks_and_single_addresses_are_read(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(TRUSTED_PROXIES, f" {NODES}, 192.168.1.7,,fd00::/8")
    read = trusted_proxies()[2:]
    assert read == [ipaddress.ip_network(one) for one in (NODES, "192.168.1.7/32", "fd00::/8")]


@pytest.mark.parametrize("given", ["10.1.0.0/33", "ingress.example.org", "10.1.0.4/16"])
def test_what_is_no_network_is_one_clear_sentence(given: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(TRUSTED_PROXIES, f"{NODES},{given}")
    with pytest.raises(
        ConfigError, match=rf"\${TRUSTED_PROXIES} cannot be read: .*{given}.*such as"
    ):
        trusted_proxies()


def test_people_behind_the_proxy_of_another_node_are_told_apart(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(TRUSTED_PROXIES, NODES)
    seen: list[str | None] = []

    async def app(scope, receive, send) -> None:
        seen.append(ADDRESS.get())

    async def call(address: str) -> None:
        headers = [(b"host", b"here"), (b"x-forwarded-for", address.encode())]
        scope = {"type": "http", "client": ("10.1.0.4", 1), "headers": headers}
        await Addressed(app)(scope, None, None)

    asyncio.run(call("203.0.113.7"))
    asyncio.run(call("203.0.113.8"))
    assert seen == ["203.0.113.7", "203.0.113.8"]
