"""`crossrec serve` and `crossrec recommend`.

Leaves to others: the service (serving/launch.py), what goes over HTTP (serving/messages.py).
"""

from __future__ import annotations

import re
import signal
from types import FrameType
from typing import Annotated, Any, NoReturn

import typer
import yaml

from crossrec import verbs
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
from crossrec.config import DEFAULT_URL
from crossrec.errors import RequestError, ServiceError
from crossrec.serving.launch import Mode
from crossrec.serving.messages import API_PAGE, MAX_K, Recommendation, RecommendResponse

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
    replicas: Annotated[int, typer.Option(min=1, help="Replicas of each domain.")] = 1,
    max_replicas: Annotated[
        int | None, typer.Option(min=1, help="As many as the load asks for, up to this.")
    ] = None,
    max_encoders: Annotated[
        int | None, typer.Option(min=1, help="The same for the encoder, from one on.")
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
        )
    out.print(f"API       {service.address}/v1/domains\nits page  {service.address}{API_PAGE}")
    err.print("Ctrl-C stops the service")
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
    user: Annotated[str | None, typer.Option(help="User id.")] = None,
    text: Annotated[str | None, typer.Option(help="A wish in words.")] = None,
    history: Annotated[
        list[str] | None, typer.Option(help="Item id the user had before; repeatable.")
    ] = None,
    context: Annotated[
        list[str] | None, typer.Option(metavar="FIELD=VALUE", help="Of this moment; repeatable.")
    ] = None,
    filters: Annotated[
        list[str] | None,
        typer.Option("--filter", metavar="COLUMN=VALUE", help="Items to keep; repeatable."),
    ] = None,
    where: Annotated[
        str, typer.Option(metavar="EXPRESSION", help="Items to keep, e.g. 'price < 20'.")
    ] = "",
    objectives: Annotated[
        list[str] | None,
        typer.Option(
            "--objective", metavar="NAME=WEIGHT", help="What counts how much; repeatable."
        ),
    ] = None,
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
    k: Annotated[int, typer.Option("-k", min=1, max=MAX_K, help="How many items.")] = 10,
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
        user_id=user,
        text=text,
        history=[{"item_id": item_id} for item_id in history or []],
        context=pairs("--context", context),
        filters=pairs("--filter", filters),
        where=where,
        objectives=pairs("--objective", objectives),
        at_most=pairs("--at-most", at_most),
        pinned=[_pin(pin) for pin in pins or []],
        blocked=blocked or [],
        k=k,
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


def pairs(option: str, given: list[str] | None) -> dict[str, Any]:
    """`a=1` → {"a": 1}; what is no number, list or range stays text, also `no`."""
    values: dict[str, Any] = {}
    for pair in given or []:
        name, separator, value = pair.partition("=")
        if not separator or not name:
            raise RequestError(f"{option} got '{pair}'; expected NAME=VALUE, e.g. weather=rain")
        several = value.startswith(("[", "{min:", "{max:"))
        values[name] = _several(option, pair, value) if several else _value(value)
    return values


def _several(option: str, pair: str, value: str) -> list[str | float] | dict[str, str | float]:
    """The entries of `[a, b]`, or of `{min: 1, max: 2}`."""
    try:
        found = yaml.load(value, yaml.BaseLoader)
    except yaml.YAMLError:
        found = None
    entries = found.values() if isinstance(found, dict) else found or [None]
    if not all(isinstance(entry, str) for entry in entries):
        raise RequestError(
            f"{option} got '{pair}'; expected a list or range to be whole, e.g."
            " weather=[rain, snow] or 'year={min: 1990, max: 1999}'"
        )
    if isinstance(found, dict):
        return {key: _value(entry) for key, entry in found.items()}
    return [_value(entry) for entry in entries]


def _value(text: str) -> str | float:
    """A number where the text is one; `007` is none.

    >>> _value("16.5"), _value("20"), _value("no"), _value("007")
    (16.5, 20, 'no', '007')
    """
    if not re.fullmatch(r"-?(0|[1-9]\d*)(\.\d+)?", text):
        return text
    return float(text) if "." in text else int(text)
