"""`crossrec serve` and `crossrec recommend`.

Leaves to others: the service (serving/launch.py), what goes over HTTP (serving/messages.py).
"""

from __future__ import annotations

import signal
from types import FrameType
from typing import Annotated, Any, NoReturn

import typer

from crossrec import verbs
from crossrec.commands.asking import (
    Context,
    Filters,
    History,
    Length,
    Objectives,
    User,
    Where,
    Words,
    asked,
    pairs,
)
from crossrec.commands.output import (
    Address,
    AsJson,
    Domains,
    OneDomain,
    err,
    expecting,
    out,
    print_json,
    print_table,
)
from crossrec.config import DEFAULT_URL, home
from crossrec.errors import RequestError, ServiceError
from crossrec.serving.launch import Mode
from crossrec.serving.messages import API_PAGE, Recommendation, RecommendResponse

Url = Annotated[str, typer.Option(help="Address of the service.", envvar="CROSSREC_API")]
ApiKey = Annotated[
    str | None, typer.Option(help="API key of the service.", envvar="CROSSREC_API_KEY")
]

START_S = 25
"""Measured on two cores with three domains; what the bar of a starting service goes by."""


def serve(
    domains: Domains,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0: all.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="TCP port.")] = 8000,
    open_on_loopback: Annotated[
        bool, typer.Option("--open-on-loopback", help="No keys; callers from this machine only.")
    ] = False,
    mode: Annotated[
        Mode, typer.Option(help="HAProxy in front, or Ray Serve's own proxy.")
    ] = "haproxy",
    address: Address = None,
    replicas: Annotated[
        int, typer.Option(min=1, help="Processes that answer, each for all the domains.")
    ] = 1,
    max_replicas: Annotated[
        int | None, typer.Option(min=1, help="As many as the load asks for, up to this.")
    ] = None,
    max_encoders: Annotated[
        int | None, typer.Option(min=1, help="The same for the encoder, from one on.")
    ] = None,
    apart: Annotated[
        list[str] | None,
        typer.Option(metavar="DOMAIN", help="Give it replicas of its own; repeatable."),
    ] = None,
) -> None:
    """Serve the current releases of domains behind one HTTP API, until Ctrl-C.

    \b
    crossrec serve movies grocery --open-on-loopback
    crossrec keys create shop && crossrec serve movies --host 0.0.0.0
    """
    signal.signal(signal.SIGTERM, interrupt)
    with expecting("starting the service", START_S):
        service = verbs.serve(
            *domains,
            host=host,
            port=port,
            open_on_loopback=open_on_loopback,
            mode=mode,
            address=address,
            replicas=replicas,
            max_replicas=max_replicas,
            max_encoders=max_encoders,
            apart=apart or (),
        )
    out.print(f"API       {service.address}/v1/domains\nits page  {service.address}{API_PAGE}")
    err.print(f"Ctrl-C stops the service; what fails is logged in {home() / 'logs'}")
    try:
        code = service.wait()
    except KeyboardInterrupt:
        err.print("stopping")
    else:
        raise ServiceError(f"the service ended by itself, with exit code {code}")
    finally:
        end_undisturbed()
        service.stop()


def interrupt(number: int, frame: FrameType | None) -> NoReturn:
    """Treat a signal to end like Ctrl-C, so that what was started is stopped."""
    end_undisturbed()
    raise KeyboardInterrupt


def end_undisturbed() -> None:
    """Hear no further Ctrl-C or signal to end: a second one would leave things behind."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def recommend(
    domain: OneDomain,
    user: User = None,
    text: Words = None,
    history: History = None,
    context: Context = None,
    filters: Filters = None,
    where: Where = "",
    objectives: Objectives = None,
    at_most: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN=N", help="Items that may share a value; repeatable."),
    ] = None,
    pins: Annotated[
        list[str] | None,
        typer.Option("--pin", metavar="ITEM=POSITION", help="Item to put there; repeatable."),
    ] = None,
    blocked: Annotated[
        list[str] | None,
        typer.Option("--block", metavar="ITEM", help="Item to leave out; repeatable."),
    ] = None,
    k: Length = 10,
    keep_seen: Annotated[
        bool, typer.Option("--keep-seen", help="Also what the user had before.")
    ] = False,
    explain: Annotated[bool, typer.Option("--explain", help="With the reasons.")] = False,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Ask the running service for recommendations: by user, history, words, context, any mix.

    \b
    crossrec recommend movies --user 196 --explain
    crossrec recommend movies --text "a slow film about memory" -k 5
    crossrec recommend restaurants_sim --user u00012 --context weather=rain --context hour=20
    crossrec recommend restaurants_sim --objective price=0.5 --objective diversity=1
    crossrec recommend restaurants_sim --at-most district=2 --where 'price_eur < 30'
    """
    answer = verbs.recommend(
        domain,
        url=url,
        api_key=api_key,
        **asked(user, text, history, context, filters, where, objectives, k),
        at_most=pairs("--at-most", at_most),
        pinned=[_pin(pin) for pin in pins or []],
        blocked=blocked or [],
        exclude_seen=not keep_seen,
        explain=explain,
    )
    if as_json:
        print_json(answer.model_dump(mode="json"))
    else:
        show_answer(answer, user)


def show_answer(answer: RecommendResponse, user: str | None = None) -> None:
    """The ranked items as a table, each with its sentence where it has one.

    Args:
        user: who was asked for; where nothing is known of them, that is said.
    """
    basis = ", ".join(answer.based_on) or "nothing known"
    out.print(f"{answer.domain}, release {answer.release}, based on {basis}", markup=False)
    if user is not None and not answer.user_known:
        out.print(f"  user '{user}' is unknown here: nothing they liked is stored", markup=False)
    for reason in answer.ignored:
        out.print(f"  not used: {reason}", markup=False)
    explained = any(item.explanation for item in answer.items)
    weighed = list(answer.weights) if len(answer.weights) > 1 else []
    rows = [
        (item.rank, item.title + " (pinned)" * item.pinned, f"{item.score:.3f}")
        + tuple(_given(item, name) for name in weighed)
        + ((item.explanation.sentence if item.explanation else "",) if explained else ())
        for item in answer.items
    ]
    heads = [f"{name} × {answer.weights[name]:g}" for name in weighed]
    columns = ("", "title", "score", *heads, *(("why",) if explained else ()))
    print_table(columns, rows, "no item is left")


def _given(item: Recommendation, objective: str) -> str:
    """What an objective gave, and of what: `+0.310 (12.5)`."""
    measure = item.measures.get(objective)
    of_what = "" if measure is None else f" ({measure:,.4g})"
    return f"{item.objectives.get(objective, 0.0):+.3f}{of_what}"


def _pin(pair: str) -> dict[str, Any]:
    """`film-7=1` → the item and its position; an item id may hold `=` itself."""
    item_id, _, position = pair.rpartition("=")
    if not item_id or not position.isdecimal():
        raise RequestError(f"--pin got '{pair}'; expected ITEM=POSITION, e.g. 1193=1")
    return {"item_id": item_id, "position": int(position)}
