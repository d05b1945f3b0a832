"""`crossrec demo`: three domains from nothing to answers with reasons, in one command.

Leaves to others: every step (verbs/); this only says what happens and cleans up after itself.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import webbrowser
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer

import crossrec
from crossrec import verbs
from crossrec.commands.output import err, expecting, out
from crossrec.commands.serving import START_S, end_undisturbed, interrupt, show_answer
from crossrec.config import RunConfig, home
from crossrec.errors import CrossrecError, ServiceError
from crossrec.releases.store import ReleaseStore
from crossrec.serving.client import Client
from crossrec.serving.launch import Service
from crossrec.serving.messages import API_PAGE

DOMAINS = ("movies", "grocery", "restaurants_sim")
WORKERS = 2
APP = Path(crossrec.__file__).parents[2] / "apps" / "streamlit_app.py"
APP_PORT = 8501
API_PORT = 8000
APP_START_S = 10

SETTINGS = ["training.max_users=1000", "training.max_epochs=12"]
SMOKE_SETTINGS = ["training.max_users=200", "training.max_epochs=2"]
"""On two cores these keep the whole way under 15 and under 4 minutes: demo_time."""

ADAPTED = ("restaurants_sim",)
"""Domains that train a LoRA adapter as well; the others leave the encoder as it comes."""

QUESTIONS: dict[str, dict[str, Any]] = {
    "movies": {"text": "a funny film about space for children"},
    "grocery": {"text": "something for breakfast"},
    "restaurants_sim": {
        "text": "a cosy place with a garden",
        "context": {"weather": "sunny", "company": "couple", "hour": 19},
    },
}
"""What each domain is asked after a known user's turn, as fields of a request."""


def demo(
    smoke: Annotated[
        bool, typer.Option("--smoke", help="The same way, small, and end by itself.")
    ] = False,
) -> None:
    """Fetch, train, serve and show three domains: all of crossrec in one command.

    Everything stays in CROSSREC_HOME; Ctrl-C ends all that was started.
    """
    signal.signal(signal.SIGTERM, interrupt)
    started = time.monotonic()
    with contextlib.ExitStack() as stack:
        stack.enter_context(_nothing_left())
        _get_data()
        _train(SMOKE_SETTINGS if smoke else SETTINGS)
        service = stack.enter_context(_serve())
        app = stack.enter_context(_app(service.address))
        _show_first(service.address)
        out.print(f"\n[bold]app[/]   {app}\n[bold]API[/]   {service.address}{API_PAGE}")
        out.print(f"everything is up after {(time.monotonic() - started) / 60:.1f} minutes")
        if smoke:
            return
        if sys.stdin.isatty() and (os.environ.get("DISPLAY") or sys.platform == "darwin"):
            webbrowser.open(app)
        err.print("Ctrl-C ends it all")
        service.wait()
        raise ServiceError("the service ended by itself; run the demo again")


@contextlib.contextmanager
def _nothing_left() -> Iterator[None]:
    """End whatever still runs below this process, however the block ends."""
    from crossrec.serving.process_tree import end_tree, tree_of

    try:
        yield
    except KeyboardInterrupt:
        err.print("\nending everything")
        raise typer.Exit(130) from None
    finally:
        end_undisturbed()
        end_tree(tree_of(os.getpid())[1:])


def _get_data() -> None:
    _step("data", f"two real data sets and a simulated one, into {home()}")
    for domain in DOMAINS:
        dataset = verbs.import_data(domain, progress=True)
        sizes = ", ".join(f"{n:,} {table}" for table, n in dataset.card["tables"].items())
        out.print(f"  {domain}: {sizes}", markup=False)


def _train(overrides: list[str]) -> None:
    frozen = verbs.settings(overrides=overrides)
    n_users = frozen.training.max_users
    _step("training", f"Ray Train, {WORKERS} workers; at most {n_users} users of each are drawn")
    _train_some([domain for domain in DOMAINS if domain not in ADAPTED], frozen)
    adapted = verbs.settings(overrides=[*overrides, "training.mode=adapted"])
    _train_some(list(ADAPTED), adapted)


def _train_some(domains: list[str], config: RunConfig) -> None:
    wanted = [domain for domain in domains if not _is_published(domain, config)]
    for domain in domains:
        if domain not in wanted:
            out.print(f"  {domain}: has a release of these data and settings already")
    if not wanted:
        return
    for result in verbs.train(*wanted, config=config, workers=WORKERS, progress=True):
        figure = f"NDCG@10 {result.metrics['metrics']['ndcg@10']:.3f}"
        how = "with a LoRA adapter" if config.training.mode == "adapted" else "encoder frozen"
        seconds = f"in {result.seconds:.0f} s"
        out.print(f"  {result.domain}: {figure}, {how}, {seconds}", markup=False)


def _is_published(domain: str, config: RunConfig) -> bool:
    try:
        manifest = ReleaseStore().show(domain).manifest
    except CrossrecError:
        return False
    same_data = manifest.data_hash == verbs.dataset(domain).content_hash
    own = verbs.settings(config, domain=domain)
    return same_data and manifest.config_digest == own.digest()


def _serve() -> Service:
    port = _free_port(API_PORT)
    _step("serving", f"one encoder for all domains, on port {port}")
    with expecting("  starting the service", START_S):
        return verbs.serve(*DOMAINS, port=port, open_on_loopback=True)


@contextlib.contextmanager
def _app(api: str) -> Iterator[str]:
    """Run the Streamlit app beside the service; its address."""
    port = _free_port(APP_PORT)
    options = {
        "server.port": port,
        "server.address": "127.0.0.1",
        "server.headless": "true",
        "browser.gatherUsageStats": "false",
    }
    flags = [f"--{name}={value}" for name, value in options.items()]
    process = subprocess.Popen(
        [sys.executable, "-m", "streamlit", "run", str(APP), *flags],
        env=os.environ | {"CROSSREC_API": api},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C reaches this process, which then ends the app in order
    )
    try:
        with expecting("  starting the app", APP_START_S):
            _await_app(process, f"http://127.0.0.1:{port}")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()  # `_nothing_left` sees to it that it ends


def _await_app(process: subprocess.Popen[bytes], address: str) -> None:
    for _ in range(240):
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{address}/_stcore/health").is_success:
                return
        if process.poll() is not None:
            break
        time.sleep(0.25)
    raise ServiceError(f"the app did not come up; try: streamlit run {APP}")


def _show_first(api: str) -> None:
    _step("answers", "for a user of each domain, then for a sentence")
    with Client(api) as client:
        for domain in DOMAINS:
            user = client.card(domain).example_users[0]
            out.print(f"\n[bold]{domain}[/], user {user}")
            show_answer(client.recommend(domain, user_id=user, k=3, explain=True))
            question = QUESTIONS[domain]
            out.print(f"[bold]{domain}[/], {_in_words(question)}")
            show_answer(client.recommend(domain, **question, k=3, explain=True))


def _in_words(question: dict[str, Any]) -> str:
    context = [f"{name} {value}" for name, value in question.get("context", {}).items()]
    return ", ".join([f"“{question['text']}”", *context])


def _step(name: str, text: str) -> None:
    out.print(f"\n[bold]{name}[/]  {text}")


def _free_port(wanted: int) -> int:
    """`wanted`, or the next port that nobody listens on."""
    for port in range(wanted, wanted + 100):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port
    raise ServiceError(f"all ports from {wanted} to {wanted + 99} are in use; stop some service")
