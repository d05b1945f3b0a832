"""The arms of a domain's experiment for those who look and may change nothing.

Leaves to others: knowing them (an operator: operations.py), the route (insight_routes.py).
"""

from __future__ import annotations

from crossrec.errors import RequestError
from crossrec.serving.insight_messages import ArmList, ArmState
from crossrec.serving.live_messages import ArmStatus, ExperimentResults
from crossrec.serving.live_routes import Operator


async def arms_of(operator: Operator, domain: str) -> ArmList:
    """Arms of the experiment that runs, or of the latest whose answers were counted.

    Raises:
        UnknownDomainError: the domain is not served.
    """
    counted = await _counted(operator, domain)
    status = await operator.status()
    serves = next((one.serves for one in status.domains if one.domain == domain), None)
    if serves is not None and serves.experiment is not None:
        return ArmList(
            experiment=serves.experiment,
            running=True,
            arms=[_state(one.name, one, counted) for one in serves.arms],
        )
    if counted is None:
        return ArmList()
    names = [one.arm for one in counted.arms]
    return ArmList(experiment=counted.experiment, arms=[_state(n, None, counted) for n in names])


async def _counted(operator: Operator, domain: str) -> ExperimentResults | None:
    try:
        return await operator.results(domain, None)
    except RequestError:
        return None  # no answer of an experiment was counted yet


def _state(name: str, arm: ArmStatus | None, counted: ExperimentResults | None) -> ArmState:
    results = [one for one in counted.arms if one.arm == name] if counted else []
    return ArmState(
        name=name,
        release=arm.release if arm else None,
        share=arm.share if arm else None,
        results=results[0] if results else None,
    )
