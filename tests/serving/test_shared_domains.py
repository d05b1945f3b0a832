"""Domains that share a replica, as Serve makes and configures it, but in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from crossrec.errors import UnknownDomainError
from crossrec.releases.store import ReleaseStore
from crossrec.serving import shared_domains
from crossrec.serving.arguments import SharedArguments
from crossrec.serving.gateway import MAX_IN_FLIGHT
from crossrec.serving.messages import DomainSummary
from crossrec.serving.shared_domains import SharedDeployment
from tests.small_release import SmallDomain

ROOT = "/v1/domains"


class Whole:
    """The service's own part, which here knows one domain more."""

    async def domains(self) -> list[DomainSummary]:
        return [DomainSummary(name="apart", title="Apart", release="1")]

    async def names(self) -> list[str]:
        return ["apart", "books", "films"]


@pytest.fixture
def versions(films: SmallDomain, fresh_home: Path) -> dict[str, list[str]]:
    """Domain → its releases, oldest first."""
    found = {}
    for name in ("books", "films"):
        domain = films.dataset.domain.model_copy(update={"name": name})
        small = replace(
            films,
            dataset=replace(films.dataset, domain=domain),
            model=replace(films.model, domain=domain),
        )
        found[name] = [small.publish(ReleaseStore()).version for _ in range(2)]
    return found


Told = dict[str, str]
"""Domain → release."""
Tell = Callable[[SharedDeployment, Told], Awaitable[None]]


@pytest.fixture
def tell(monkeypatch: pytest.MonkeyPatch) -> Tell:
    monkeypatch.setattr(shared_domains, "_Whole", Whole)

    async def change(shared: SharedDeployment, told: Told) -> None:
        arguments = {"domains": {name: {"version": version} for name, version in told.items()}}
        await shared.reconfigure(SharedArguments(**arguments).model_dump(mode="json"))

    return change


def ask(shared: SharedDeployment, *requests: tuple[str, str]) -> list[httpx.Response]:
    """Method and path of each, below `/v1/domains`, all at once, as Serve hands them on."""
    app = shared.__serve_build_asgi_app__()

    async def routed(scope: Any, receive: Any, send: Any) -> None:
        await app({**scope, "root_path": ROOT}, receive, send)

    async def all_at_once() -> list[httpx.Response]:
        transport = httpx.ASGITransport(routed, client=("127.0.0.1", 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as http:
            body = {"user_id": "user-1", "k": 2}
            return await asyncio.gather(
                *(
                    http.request(method, ROOT + path, json=body if method == "POST" else None)
                    for method, path in requests
                )
            )

    return asyncio.run(all_at_once())


def run(tell: Tell, *steps: Told) -> SharedDeployment:
    shared = SharedDeployment("loopback")

    async def all_steps() -> None:
        for told in steps:
            await tell(shared, told)

    asyncio.run(all_steps())
    return shared


def hosted(shared: SharedDeployment) -> tuple[Told, dict[str, str]]:
    found = asyncio.run(shared.hosted())
    return {name: one.version for name, one in found.arguments.domains.items()}, found.failed


def test_the_path_says_which_domain_answers(versions, tell):
    newest = {name: found[-1] for name, found in versions.items()}
    shared = run(tell, newest)
    asked = [("POST", f"/{name}/recommendations") for name in ("films", "books", "games")]
    films, books, unknown = ask(shared, *asked)
    assert (films.json()["domain"], films.json()["release"]) == ("films", newest["films"])
    assert (books.json()["domain"], books.json()["release"]) == ("books", newest["books"])
    assert unknown.status_code == 404
    assert unknown.json()["kind"] == "UnknownDomainError"
    assert "did you mean" in unknown.json()["error"] or "expected" in unknown.json()["error"]
    listed, page, health = ask(
        shared, ("GET", ""), ("GET", "/films/docs"), ("GET", "/books/health")
    )
    assert [one["name"] for one in listed.json()["domains"]] == ["apart"]  # as the whole says
    assert f"{ROOT}/films/openapi.json" in page.text
    assert health.json()["domains"] == ["books"]


def test_domains_come_move_on_and_go_while_the_others_stay_as_they_are(versions, tell):
    (old, new), book = versions["films"], versions["books"][0]
    shared = SharedDeployment("loopback")

    async def releases() -> dict[str, str]:
        found = {}
        for name in (await shared.hosted()).arguments.domains:
            found[name] = (await shared.ask(name, "served")).release
        return found

    async def story() -> None:
        await tell(shared, {"films": old})
        assert await releases() == {"films": old}
        films = shared._members["films"].domain.recommender
        await tell(shared, {"films": old, "books": book})
        assert await releases() == {"films": old, "books": book}
        assert shared._members["films"].domain.recommender is films  # nothing was loaded again
        await tell(shared, {"films": new, "books": book})
        assert await releases() == {"films": new, "books": book}
        await tell(shared, {"books": book})
        assert await releases() == {"books": book}
        with pytest.raises(UnknownDomainError, match="no domain 'films'"):
            await shared.ask("films", "served")

    asyncio.run(story())
    (gone,) = ask(shared, ("POST", "/films/recommendations"))
    assert gone.status_code == 404


def test_a_domain_that_cannot_be_changed_stays_and_the_others_move_on(versions, tell):
    (old, damaged), (first, second) = versions["films"], versions["books"]
    (ReleaseStore().show("films", damaged).folder / "model.safetensors").write_bytes(b"nothing")
    shared = run(tell, {"films": old, "books": first}, {"films": damaged, "books": second})
    answering, failed = hosted(shared)
    assert answering == {"films": old, "books": second}
    assert list(failed) == ["films"]
    assert "model.safetensors" in failed["films"]
    films, books = ask(shared, *[("POST", f"/{n}/recommendations") for n in ("films", "books")])
    assert (films.json()["release"], books.json()["release"]) == (old, second)
    # What never answered is not forgotten: it is told, and said to have failed.
    shared = run(tell, {"films": damaged, "books": second})
    answering, failed = hosted(shared)
    assert (answering, list(failed)) == ({"films": damaged, "books": second}, ["films"])


def test_what_is_too_much_is_counted_over_all_domains_of_the_process(versions, tell):
    newest = {name: found[-1] for name, found in versions.items()}
    shared = run(tell, newest)
    asked = [("POST", f"/{name}/recommendations") for name in newest] * (MAX_IN_FLIGHT // 2 + 5)
    statuses = [answer.status_code for answer in ask(shared, *asked)]
    assert set(statuses) == {200, 429}  # none would be refused if each domain counted its own
    assert statuses.count(200) >= MAX_IN_FLIGHT
