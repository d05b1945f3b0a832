"""`crossrec learner`: look at what is learned online, order it, judge weights before they go live.

Leaves to others: learning (serving/learning.py), judging (evaluation/off_policy.py).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated

import typer

from crossrec import verbs
from crossrec.commands.asking import pairs
from crossrec.commands.output import AsJson, Commands, OneDomain, err, out, print_json, print_table
from crossrec.commands.serving import ApiKey, Url
from crossrec.config import DEFAULT_URL
from crossrec.errors import ConfigError
from crossrec.serving.learning_messages import Action, LearnerStatus

app = typer.Typer(cls=Commands, no_args_is_help=True)

ORDERS: dict[Action, str] = {
    "freeze": "Let the weights hold as they are: nothing is learned or explored.",
    "resume": "Learn (again), from what is done from now on.",
    "reset": "Begin again at the declared weights.",
    "trial": "Learn and explore, while the declared weights answer the rest: to judge before going"
    " live.",
    "go-live": "Let the learned weights answer.",
}
FEW = 100
"""Effective rounds below which a judgement says little."""
FAR = 0.1
"""How far the mean weight may be from 1."""


@app.command()
def status(
    domain: OneDomain, url: Url = DEFAULT_URL, api_key: ApiKey = None, as_json: AsJson = False
) -> None:
    """What was learned of the objectives' weights, from what, and who was bounded."""
    _show(verbs.learner(domain, url=url, api_key=api_key), as_json)


def _ordering(action: Action) -> Callable[..., None]:
    """The command of an order that needs nothing but its name."""

    def order(
        domain: OneDomain, url: Url = DEFAULT_URL, api_key: ApiKey = None, as_json: AsJson = False
    ) -> None:
        _show(verbs.learner(domain, action, url=url, api_key=api_key), as_json)

    return order


for _action, _help in ORDERS.items():
    app.command(_action, help=_help)(_ordering(_action))


@app.command()
def rollback(
    domain: OneDomain,
    to: Annotated[
        int | None, typer.Option(min=1, metavar="VERSION", help="None: the one before.")
    ] = None,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Take the weights of an earlier version, and go on from there."""
    _show(verbs.learner(domain, "rollback", to, url=url, api_key=api_key), as_json)


@app.command()
def explore(
    domain: OneDomain,
    share: Annotated[
        float | None,
        typer.Option(
            min=0, max=1, help="Of requests, at most; 0: none. None: what the YAML declares."
        ),
    ] = None,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Explore for another share of requests, or for none; learning goes on."""
    _show(verbs.learner(domain, "explore", share=share, url=url, api_key=api_key), as_json)


@app.command()
def judge(
    domain: OneDomain,
    policy: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME|OBJECTIVE=WEIGHT",
            help="learned, declared, or weights (repeatable), on own answers; uniform or popular,"
            " on recorded exposures.",
        ),
    ] = None,
    since: Annotated[
        str, typer.Option(metavar="WHEN", help="Own answers since: all, days (30d) or a date.")
    ] = "all",
    logged_by: Annotated[
        str, typer.Option(metavar="NAME", help="Policy that logged the recorded exposures.")
    ] = "random",
    pool: Annotated[
        str | None, typer.Option(metavar="VALUE", help="Of the domain's pool column.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """What a policy would have earned, from logged propensities, before it goes live.

    What is learned is learned from the earlier half of the answers, and judged on the later half.

    \b
    crossrec learner judge restaurants_sim --policy price=0.5 --policy distance=1
    crossrec learner judge ads --policy popular --logged-by random --pool men
    """
    found = verbs.judge(domain, _policy(policy), since=since, logged_by=logged_by, pool=pool)
    judgement = found.judgement
    if as_json:
        estimates = [vars(one) for one in judgement.estimates]
        print_json(found._asdict() | {"judgement": vars(judgement) | {"estimates": estimates}})
        return
    out.print(f"{found.policy}, judged on {found.log}; {found.unit}", markup=False)
    rows = [
        (one.name, f"{one.value:.5f}", f"{one.low:.5f} to {one.high:.5f}")
        for one in judgement.estimates
    ]
    print_table(
        ("estimator", "value", "95 %"), [*rows, ("the log itself", f"{found.logged:.5f}", "")], ""
    )
    out.print(f"worth {judgement.effective_n:,.0f} rounds of its own", markup=False)
    if judgement.effective_n < FEW or abs(judgement.coverage - 1) > FAR:
        err.print(
            f"the log says little of this policy: the mean weight is {judgement.coverage:.2f}, and"
            " should be 1", markup=False
        )  # fmt: skip


def _policy(given: list[str] | None) -> str | dict[str, float]:
    """A name, or weights by objective."""
    if not given:
        return "learned"
    if len(given) == 1 and "=" not in given[0]:
        return given[0]
    weights = pairs("--policy", given)
    for name, weight in weights.items():
        if isinstance(weight, bool) or not isinstance(weight, int | float):
            raise ConfigError(f"--policy got '{name}={weight}'; expected a number, e.g. price=0.5")
    return {name: float(weight) for name, weight in weights.items()}


def _show(status: LearnerStatus, as_json: bool) -> None:
    if as_json:
        print_json(status.model_dump(mode="json"))
        return
    doing = f"learning, exploring {status.explore_share:.0%}" if status.learning else "frozen"
    doing += "" if status.live else ", on trial: the declared weights answer"
    at = f"{datetime.fromtimestamp(status.at, UTC):%Y-%m-%d %H:%M:%S} UTC"
    out.print(
        f"{status.domain}, version {status.version} ({status.why}, {at}), {doing}", markup=False
    )
    rows = [
        (name, f"{one.declared:g}", f"{one.weight:.3f}", f"{one.low:.3f} to {one.high:.3f}",
         f"{one.least:g} to {one.most:g}")
        for name, one in status.weights.items()
    ]  # fmt: skip
    print_table(("objective", "declared", "weight", "95 %", "bounds"), rows, "nothing to learn")
    for what, count in status.counts.items():
        out.print(f"  {count:,} choices {what}", markup=False)
    for what, flagged in (
        ("user", status.flagged_users),
        ("address", status.flagged_addresses),
    ):
        for key, count in flagged.items():
            out.print(f"  beyond the cap: {what} {key}, {count:,} choices", markup=False)
    kept = ", ".join(str(one.version) for one in status.versions[1:11])
    out.print(f"earlier versions: {kept or 'none'}", markup=False)
