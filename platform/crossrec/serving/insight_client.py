"""The client with the questions that look into releases, data, searches and transfers.

Leaves to others: all other questions (client.py), what the answers hold (insight_messages.py).
"""

from __future__ import annotations

from urllib.parse import quote

from crossrec.serving.client import Client
from crossrec.serving.insight_messages import (
    ArmList,
    Comparison,
    DataProfile,
    Experiment,
    ExperimentList,
    ItemComparison,
    ItemMap,
    LiveState,
    ReleaseList,
    ReleaseReport,
    TransferList,
    UserList,
)
from crossrec.serving.learning_messages import LearnerStatus


class InsightClient(Client):
    """A `Client` that asks more; every method raises what those of `Client` raise."""

    def releases(self, domain: str) -> ReleaseList:
        """Releases of a domain, newest first."""
        return self._get(_insight(domain, "releases"), ReleaseList)

    def report(self, domain: str, version: str = "current") -> ReleaseReport:
        """What the evaluation of a release found.

        Raises:
            UnknownReleaseError: the domain has no such release.
            RequestError: it was never evaluated.
        """
        return self._get(_insight(domain, "releases", version, "report"), ReleaseReport)

    def compare(self, domain: str, a: str, b: str) -> Comparison:
        """Release `b` against release `a`, on the cases that both were judged on."""
        return self._get(_insight(domain, "comparison"), Comparison, {"a": a, "b": b})

    def compare_item(self, domain: str, a: str, b: str, item_id: str) -> ItemComparison:
        """One item in two releases."""
        path = _insight(domain, "comparison", "items", item_id)
        return self._get(path, ItemComparison, {"a": a, "b": b})

    def item_map(self, domain: str, release: str = "current") -> ItemMap:
        """Items on a plane; `state` says whether it is still being made."""
        return self._get(_insight(domain, "map"), ItemMap, {"release": release})

    def data(self, domain: str) -> DataProfile:
        """What was imported; `state` says whether the profile is still being made."""
        return self._get(_insight(domain, "data"), DataProfile)

    def find_users(self, domain: str, text: str, limit: int = 20) -> UserList:
        """Users by a part of their id, or by items that they had."""
        return self._get(_insight(domain, "users"), UserList, {"search": text, "limit": limit})

    def arms(self, domain: str) -> ArmList:
        """Arms of the experiment that runs, or ran last, with what came of them."""
        return self._get(_insight(domain, "arms"), ArmList)

    def experiments(self) -> ExperimentList:
        """Searches for settings, newest first."""
        return self._get("/v1/experiments", ExperimentList)

    def experiment(self, run: str, domain: str) -> Experiment:
        """One search with its trials."""
        return self._get(
            f"/v1/experiments/{quote(run, safe='')}/{quote(domain, safe='')}", Experiment
        )

    def transfers(self) -> TransferList:
        """What domains gained from others, newest first."""
        return self._get("/v1/transfers", TransferList)

    def live(self) -> LiveState:
        """What the service is doing now."""
        return self._get("/v1/live", LiveState)

    def learner(self, domain: str) -> LearnerStatus:
        """What was learned of the objectives' weights of a domain."""
        return self._get(f"/v1/domains/{quote(domain, safe='')}/learner", LearnerStatus)


def _insight(domain: str, *parts: str) -> str:
    return "/v1/insight/" + "/".join(quote(part, safe="") for part in (domain, *parts))
