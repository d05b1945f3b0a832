"""What the workers tell the driver while they train, and the progress bars it draws from that.

Leaves to others: what is told (worker.py, launch.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

Event = dict[str, Any]
"""`domain`, and either `metrics` of an epoch, or `stage` in words with, where they are known,
`completed` (steps of the bar, out of `total` where it is another bar than the usual) and a
worker's `rank` and `pid`."""


class Board:
    """Events in the order of arrival; runs as an actor so that any machine can post."""

    def __init__(self) -> None:
        self._events: list[Event] = []

    def post(self, event: Event) -> None:
        """Add an event."""
        self._events.append(event)

    def drain(self) -> list[Event]:
        """Take all events posted since the last call."""
        events, self._events = self._events, []
        return events


class Bars:
    """A bar a domain, of epochs or trials, with figures and time left; lines in a log file."""

    def __init__(
        self, n_steps: Mapping[str, int], show: bool, console: Console | None = None
    ) -> None:
        """Domain → its epochs or trials."""
        console = console or Console(stderr=True)
        self._n_steps = n_steps
        self._lines = console if show and not console.is_terminal else None
        self._progress = Progress(
            TextColumn("{task.fields[domain]:<16}"),
            BarColumn(bar_width=24),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            disable=not show or not console.is_terminal,
        )
        self._totals = dict(n_steps)
        self._tasks = {
            domain: self._progress.add_task("waiting", total=total, domain=domain, start=False)
            for domain, total in n_steps.items()
        }

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *ended: object) -> None:
        self._progress.stop()

    def update(self, event: Event) -> None:
        """Show one event."""
        task = self._tasks[event["domain"]]
        if "metrics" in event:
            epoch = int(event["metrics"]["epoch"])
            self._show(
                event["domain"],
                self._epoch_text(event["domain"], event["metrics"]),
                completed=epoch,
            )
            return
        if event.get("rank", 0) == 0:
            self._progress.start_task(task)
            self._show(event["domain"], event["stage"], **_steps(event))

    def done(self, domain: str, text: str) -> None:
        """Fill the bar of a domain that has ended, well or not."""
        self._show(domain, text, completed=self._n_steps[domain])
        self._progress.stop_task(self._tasks[domain])

    def _show(self, domain: str, text: str, **changes: Any) -> None:
        task = self._tasks[domain]
        total = changes.pop("total", self._n_steps[domain])
        if "completed" in changes and self._totals[domain] != total:
            self._totals[domain] = total
            self._progress.reset(task, total=total)  # time left is of these steps alone
        self._progress.update(task, description=text, **changes)
        if self._lines is not None:
            self._lines.print(f"{domain}: {text}", highlight=False, soft_wrap=True)

    def _epoch_text(self, domain: str, metrics: dict[str, float]) -> str:
        parts = [f"epoch {int(metrics['epoch'])}/{self._n_steps[domain]}"]
        parts.append(f"loss {metrics['loss']:.3f}")
        parts += [
            f"{name.removeprefix('validation_').upper()} {value:.4f}"
            for name, value in metrics.items()
            if name.startswith("validation_")
        ]
        return "  ".join(parts)


def _steps(event: Event) -> dict[str, int]:
    return {name: event[name] for name in ("completed", "total") if name in event}
