"""Many domains in one replica: a process costs two hundred megabytes under Ray, a domain a few.

Every replica answers for all of them, so any mix of traffic spreads over the replicas there are. A
domain that cannot be loaded or changed stays as it was, and the others do not notice. Leaves to
others: one domain (deployments.py), what is served (operations.py). Checked on Ray 2.60.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from ray import serve

from crossrec.errors import CrossrecError, UnknownDomainError
from crossrec.serving.arguments import (
    SYSTEM,
    SYSTEM_APPLICATION,
    Hosted,
    SharedArguments,
    Told,
    parse,
)
from crossrec.serving.asking import answer_of
from crossrec.serving.deployments import Common, DomainDeployment, keys_of
from crossrec.serving.gateway import App, Gateway, Receive, Scope, Send
from crossrec.serving.http_api import directory_app
from crossrec.serving.logs import keep_replica_log
from crossrec.serving.memory import give_back_memory
from crossrec.serving.messages import DomainSummary

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Member:
    """A domain that this replica answers for."""

    domain: DomainDeployment
    told: Told
    routes: Gateway


class SharedDeployment:
    """Some domains. `user_config`: `SharedArguments`; taken over without a restart."""

    def __init__(self, access: str) -> None:
        keep_replica_log()
        self._access = access
        self._common = Common()
        self._members: dict[str, _Member] = {}
        self._failed: dict[str, str] = {}
        self._arguments = SharedArguments()
        self._whole = directory_app(_Whole(), keys_of(access), self._common.door)

    async def reconfigure(self, user_config: dict[str, Any]) -> None:
        """Answer for these domains from now on; of the others nothing is left."""
        self._arguments = parse(SharedArguments, user_config)
        wanted = self._arguments.domains
        for name in set(self._members) - set(wanted):
            self._members.pop(name).domain.close()
        self._failed = {}
        for told in wanted.values():
            try:
                await self._host(told)
            except Exception as err:  # the other domains must not end for it, which Serve would do
                log.exception("'%s' could not be changed; it stays as it was", told.domain)
                known = isinstance(err, CrossrecError)
                self._failed[told.domain] = str(err) if known else "the log has the reason"
        give_back_memory()

    async def _host(self, told: Told) -> None:
        """Take over what is told of a domain; nothing to do where it is that already."""
        name, member = told.domain, self._members.get(told.domain)
        if member is not None and member.told == told:
            return
        domain = member.domain if member else DomainDeployment(name, self._access, self._common)
        try:
            await domain.reconfigure(told.model_dump(mode="json"))
        except BaseException:
            if member is None:
                domain.close()
            raise
        routes = member.routes if member else domain.__serve_build_asgi_app__()
        self._members[name] = _Member(domain, told, routes)

    def __serve_build_asgi_app__(self) -> App:
        """All routes below `/v1/domains`; Serve asks for them once the replica is constructed."""

        async def routes(scope: Scope, receive: Receive, send: Send) -> None:
            await self._routes(scope)(scope, receive, send)

        return routes  # a function: uvicorn takes bound methods for another protocol

    def _routes(self, scope: Scope) -> Gateway:
        """Those of the domain that the path names; the list of domains is nobody's."""
        if scope["type"] != "http":
            return self._whole
        root = scope.get("root_path", "")
        name = str(scope["path"]).removeprefix(root).lstrip("/").partition("/")[0]
        member = self._members.get(name)
        scope["root_path"] = f"{root}/{name}" if member else ""
        return member.routes if member else self._whole

    async def ask(self, domain: str, method: str, *arguments: Any) -> Any:
        """What one of the domains says.

        Raises:
            UnknownDomainError: this replica does not answer for it.
            CrossrecError: what the domain raises.
        """
        member = self._members.get(domain)
        if member is None:
            raise UnknownDomainError(f"no domain '{domain}' is served here")
        return await getattr(member.domain, method)(*arguments)

    async def hosted(self) -> Hosted:
        """What this replica answers for."""
        told = {name: member.told for name, member in self._members.items()}
        domains = {**self._arguments.domains, **told}
        return Hosted(self._arguments.model_copy(update={"domains": domains}), dict(self._failed))


class _Whole:
    """The service's own part, which knows the domains that have replicas of their own too."""

    async def domains(self) -> list[DomainSummary]:
        """Every served domain, sorted by name."""
        found: list[DomainSummary] = await self._ask("domains")
        return found

    async def names(self) -> list[str]:
        """Of every served domain, sorted."""
        found: list[str] = await self._ask("names")
        return found

    async def _ask(self, method: str) -> Any:
        handle = serve.get_deployment_handle(SYSTEM, SYSTEM_APPLICATION)
        return await answer_of(getattr(handle, method).remote())
