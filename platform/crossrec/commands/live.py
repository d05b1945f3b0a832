"""`crossrec deploy`, `undeploy`, `status`, `experiment …`, `shadow …`: a running service changed.

Leaves to others: doing it (serving/operations.py), asking for it (serving/live_client.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from crossrec.commands.output import (
    AsJson,
    Commands,
    OneDomain,
    expecting,
    out,
    print_json,
    print_table,
)
from crossrec.commands.serving import ApiKey, Url
from crossrec.config import DEFAULT_URL
from crossrec.errors import RequestError
from crossrec.serving.client import Client
from crossrec.serving.live_client import LiveClient
from crossrec.serving.live_messages import ArmResults, DomainStatus, ServiceStatus

experiment = typer.Typer(cls=Commands, no_args_is_help=True)
shadow = typer.Typer(cls=Commands, no_args_is_help=True)

DEPLOY_S = 10
"""Usual on two cores; what the bar of a change goes by."""
Share = Annotated[float, typer.Option(min=0, max=1, help="Share of the requests.")]
Version = Annotated[str, typer.Argument(metavar="RELEASE", help="A version; see release list.")]


def deploy(
    domain: OneDomain,
    release: Annotated[
        str | None, typer.Option(help="A version; none: the current release.")
    ] = None,
    previous: Annotated[
        bool, typer.Option("--previous", help="The one before the release that is served.")
    ] = False,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
) -> None:
    """Serve a release of a domain on the running service: a new domain, or another release.

    It is verified first and becomes the current one; other domains stay as they are, and no
    request fails meanwhile. Needs a key with the scope admin, where the service asks for keys.

    \b
    crossrec deploy grocery
    crossrec deploy movies --release 20260131-142500-003
    crossrec deploy movies --previous
    """
    with _changing(url, api_key, f"deploying {domain}") as live:
        change = live.deploy(domain, release, previous=previous)
    out.print(f"{domain} serves {change.release}", markup=False)


def undeploy(domain: OneDomain, url: Url = DEFAULT_URL, api_key: ApiKey = None) -> None:
    """Stop serving a domain on the running service; its releases stay.

    Requests under way are answered; later ones hear that the domain is not served.
    """
    with _changing(url, api_key, f"undeploying {domain}") as live:
        live.undeploy(domain)
    out.print(f"{domain} is no longer served", markup=False)


def status(url: Url = DEFAULT_URL, api_key: ApiKey = None, as_json: AsJson = False) -> None:
    """What the running service serves: domains, releases, replicas, health, arms."""
    with Client(url, api_key) as client:
        found = client.operations.status()
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    show_status(found)


def show_status(found: ServiceStatus) -> None:
    """The tables of `crossrec status`."""
    columns = ("domain", "release", "items", "replicas", "health", "arms", "shadow")
    print_table(columns, [_row(one) for one in found.domains], "no domain is served")
    others = [(n, _replicas(o.replicas), o.state, o.message) for n, o in found.others.items()]
    print_table(("beside", "replicas", "health", ""), others, "")
    for change in found.changes[-5:]:
        error = f": {change.error}" if change.error else ""
        out.print(f"{change.state} {change.what} {change.domain}{error}", markup=False)


def _row(one: DomainStatus) -> tuple[str, ...]:
    health = f"{one.state} {one.message}".strip()
    if one.serves is None:
        return one.domain, "(no answer)", "", _replicas(one.replicas), health, "", ""
    serves = one.serves
    arms = ", ".join(f"{a.name} {a.share:.0%} {a.release}" for a in serves.arms)
    shadow = f"{serves.shadow} {serves.shadow_share:.0%}" if serves.shadow else ""
    release = f"{serves.release}{' + added items' if serves.edition else ''}"
    items = f"{serves.n_items:,}"
    return one.domain, release, items, _replicas(one.replicas), health, arms, shadow


def _replicas(states: dict[str, int]) -> str:
    return ", ".join(f"{n} {state.lower()}" for state, n in states.items())


@experiment.command("start")
def start_experiment(
    domain: OneDomain,
    arms: Annotated[
        list[str],
        typer.Option("--arm", metavar="NAME=RELEASE:SHARE", help="Who answers whom; repeatable."),
    ],
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
) -> None:
    """Let other releases answer shares of the users: an A/B test, or a canary.

    A user stays in an arm, by a hash of the id. The release that is served is the arm control.
    Where an arm's release is the current one, control becomes current instead, so that a service
    that starts again goes on with the experiment.

    \b
    crossrec experiment start movies --arm b=20260131-142500-003:0.5
    crossrec experiment start movies --arm canary=20260131-142500-003:0.01
    """
    given = [_arm(text) for text in arms]
    with _changing(url, api_key, f"starting an experiment in {domain}") as live:
        live.start_experiment(domain, given)
    out.print(f"an experiment runs in {domain}; see: crossrec experiment results {domain}")


@experiment.command()
def share(
    domain: OneDomain,
    arm: Annotated[str, typer.Argument(metavar="ARM", help="Its name.")],
    to: Annotated[float, typer.Argument(metavar="SHARE", min=0, max=1, help="Of the users.")],
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
) -> None:
    """Give an arm another share: raise a canary step by step. Its users stay in it.

    \b
    crossrec experiment share movies canary 0.1
    """
    with _changing(url, api_key, f"changing shares of {domain}") as live:
        live.set_shares(domain, **{arm: to})
    out.print(f"{arm} answers {to:.1%} of the users of {domain}", markup=False)


@experiment.command()
def results(
    domain: OneDomain,
    name: Annotated[
        str | None, typer.Option("--experiment", help="Its name; none: the latest.")
    ] = None,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """What came of each arm: answers, positive events, rate, lift over control, intervals.

    Rates are positive events an answer, of users with an id; intervals are a bootstrap over users.
    """
    with Client(url, api_key) as client:
        found = client.operations.results(domain, name)
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    out.print(f"{found.experiment} in {domain}, {'running' if found.running else 'ended'}")
    columns = ("arm", "users", "answers", "impressions", "positive", "rate", "95 %", "lift", "95 %")
    print_table(columns, [_result(arm) for arm in found.arms], "")


def _result(arm: ArmResults) -> tuple[str, ...]:
    counts = (arm.n_users, arm.n_answers, arm.n_impressions, arm.n_positive)
    return (
        arm.arm,
        *(f"{n:,}" for n in counts),
        "" if arm.rate is None else f"{arm.rate:.4f}",
        "" if arm.rate_ci95 is None else "[{:.4f}, {:.4f}]".format(*arm.rate_ci95),
        "" if arm.lift is None else f"{arm.lift:+.1%}",
        "" if arm.lift_ci95 is None else "[{:+.1%}, {:+.1%}]".format(*arm.lift_ci95),
    )


@experiment.command()
def promote(
    domain: OneDomain,
    arm: Annotated[str, typer.Argument(metavar="ARM", help="Its name.")],
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
) -> None:
    """End the experiment: the arm's release answers everybody and becomes the current one.

    Refused where a release that was published meanwhile is current, which this would take back:
    stop the experiment, then deploy what is to be served.
    """
    with _changing(url, api_key, f"promoting {arm}") as live:
        change = live.promote(domain, arm)
    out.print(f"{domain} serves {change.release}", markup=False)


@experiment.command("stop")
def stop_experiment(domain: OneDomain, url: Url = DEFAULT_URL, api_key: ApiKey = None) -> None:
    """End the experiment: the release that was served before it answers everybody.

    What is current stays so: a release that was published meanwhile is served by the next deploy,
    or start of the service.
    """
    with _changing(url, api_key, f"stopping the experiment in {domain}") as live:
        change = live.stop_experiment(domain)
    out.print(f"{domain} serves {change.release}", markup=False)


@shadow.command("start")
def start_shadow(
    domain: OneDomain,
    release: Version,
    share: Share = 1.0,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
) -> None:
    """Send a release copies of requests: its answers are compared with those given, and dropped.

    \b
    crossrec shadow start movies 20260131-142500-003 --share 0.1
    """
    with _changing(url, api_key, f"starting a shadow of {domain}") as live:
        live.start_shadow(domain, release, share)
    out.print(f"{release} is in the shadow of {domain}; see: crossrec shadow results {domain}")


@shadow.command("results")
def shadow_results(
    domain: OneDomain, url: Url = DEFAULT_URL, api_key: ApiKey = None, as_json: AsJson = False
) -> None:
    """What came of the copies: overlap of the lists, errors, times."""
    with Client(url, api_key) as client:
        found = client.operations.shadow(domain)
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    print_table(("", ""), found.model_dump(mode="json", exclude={"domain"}).items(), "")


@shadow.command("stop")
def stop_shadow(domain: OneDomain, url: Url = DEFAULT_URL, api_key: ApiKey = None) -> None:
    """Send no more copies; what came of them is lost."""
    with _changing(url, api_key, f"ending the shadow of {domain}") as live:
        live.stop_shadow(domain)
    out.print(f"nothing is in the shadow of {domain}", markup=False)


@contextmanager
def _changing(url: str, api_key: str | None, what: str) -> Iterator[LiveClient]:
    with Client(url, api_key) as client, expecting(what, DEPLOY_S):
        yield client.operations


def _arm(text: str) -> tuple[str, str, float]:
    """Name, version and share.

    >>> _arm("b=20260131-142500-003:0.5")
    ('b', '20260131-142500-003', 0.5)
    """
    name, _, rest = text.partition("=")
    release, _, share = rest.rpartition(":")
    try:
        number = float(share)
    except ValueError:
        number = -1.0
    if not (name and release and 0 <= number <= 1):
        raise RequestError(f"--arm got '{text}'; expected NAME=RELEASE:SHARE, e.g. b=current:0.5")
    return name, release, number
