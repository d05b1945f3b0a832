"""Progress of a verb: a bar in a terminal, one in Jupyter, nothing unless asked for.

Leaves to others: trainings in a terminal or on Ray (training/board.py), commands (commands/).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import escape
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from crossrec.training.board import Event

Tell = Callable[[str], None]
"""Told what was done, in words; a bar moves by one."""


@contextmanager
def bar(what: str, total: int | None, show: bool) -> Iterator[Tell]:
    """A bar for as long as the block runs, gone after it.

    Args:
        total: steps; None: nobody knows how many.
        show: False: nothing is drawn.
    """
    if not show:
        yield _nothing
    elif in_jupyter():
        yield from _jupyter_bar(what, total)
    else:
        yield from _terminal_bar(what, total)


def training_bars(domain: str, n_epochs: int, show: bool) -> Any:
    """The bars of a training in this process: `board.Bars`, or the same in Jupyter."""
    from crossrec.training.board import Bars

    if show and in_jupyter():
        return _JupyterBars(domain, n_epochs)
    return Bars({domain: n_epochs}, show)


@contextmanager
def import_steps(domain: str, show: bool) -> Iterator[bool | Tell]:
    """What an import is given as its `progress`: in Jupyter a bar that is told each step; in a
    terminal it draws its own.
    """
    if show and in_jupyter():
        with bar(f"importing {domain}", None, show) as tell:
            yield tell
    else:
        yield show


def both(first: Tell, second: Tell | None) -> Tell:
    """Tells both."""

    def tell(text: str) -> None:
        first(text)
        if second is not None:
            second(text)

    return tell


def in_jupyter() -> bool:
    """Whether this process is the kernel of a notebook."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return shell is not None and hasattr(shell, "kernel")


def _nothing(text: str) -> None:
    """Says nothing."""


def _terminal_bar(what: str, total: int | None) -> Iterator[Tell]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn(what), BarColumn(bar_width=24), TextColumn("{task.description}"))
    console = Console(stderr=True)
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as drawn:
        task = drawn.add_task("", total=total)
        yield lambda text: drawn.update(task, advance=1, description=text)


class _Html:
    """A place in the notebook's output whose HTML can be replaced; gone when empty."""

    def __init__(self, html: str) -> None:
        import IPython.display

        shown: Any = IPython.display
        self._handle = shown.display(_only_html(html), raw=True, display_id=True)

    def replace(self, html: str) -> None:
        self._handle.update(_only_html(html), raw=True)


def _only_html(html: str) -> dict[str, str]:
    """What is shown, without the text that an object of IPython would leave in a saved notebook."""
    return {"text/html": html, "text/plain": ""}


def _jupyter_bar(what: str, total: int | None) -> Iterator[Tell]:
    place, done = _Html(_drawn(what, 0, total, "")), 0

    def tell(text: str) -> None:
        nonlocal done
        done += 1
        place.replace(_drawn(what, done, total, text))

    try:
        yield tell
    finally:
        place.replace("")


def _drawn(what: str, done: int, total: int | None, text: str) -> str:
    """HTML of a bar; one without an end where the total is not known."""
    measure = "" if total is None else f" value='{done}' max='{total}'"
    return f"{escape(what)} <progress{measure}></progress> {escape(text)}"


class _JupyterBars:
    """What `training.board.Bars` shows in a terminal; epochs, and stages with their steps."""

    def __init__(self, domain: str, n_epochs: int) -> None:
        self._domain, self._n_epochs = domain, n_epochs

    def __enter__(self) -> Self:
        self._place = _Html(self._drawn_at(0, None, "waiting"))
        return self

    def __exit__(self, *ended: object) -> None:
        self._place.replace("")

    def update(self, event: Event) -> None:
        """Show one event of a training."""
        if "metrics" in event:
            found = event["metrics"]
            text = f"epoch {int(found['epoch'])}, loss {found['loss']:.3f}"
            self._show(int(found["epoch"]), self._n_epochs, text)
        else:
            self._show(event.get("completed", 0), event.get("total"), event["stage"])

    def done(self, domain: str, text: str) -> None:
        """Fill the bar."""
        self._show(self._n_epochs, self._n_epochs, text)

    def _show(self, done: int, total: int | None, text: str) -> None:
        self._place.replace(self._drawn_at(done, total, text))

    def _drawn_at(self, done: int, total: int | None, text: str) -> str:
        return _drawn(self._domain, done, total, text)
