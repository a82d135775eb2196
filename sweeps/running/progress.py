"""Shows how a sweep goes: one live screen in a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from sweeps.record.ledger import Ledger, Record
from sweeps.record.times import duration
from sweeps.search.plan import Plan

SPARSE_SECONDS = 30.0
"""A line at most this often where there is no terminal (and at the start and the end)."""
SHOWN = 12
"""Running trials on the screen."""


@dataclass
class Running:
    """A trial that runs: since when, and its last report."""

    plan: Plan
    since: float
    epoch: int = 0
    value: float | None = None


class Progress:
    """Counts, the best bound, the time left, and what each running trial is at."""

    def __init__(
        self,
        ledger: Ledger,
        *,
        name: str,
        total: int,
        workers: int,
        epochs: int,
        mode: str = "max",
        console: Console | None = None,
    ) -> None:
        self.console = console or Console(stderr=True)
        self.name, self.total, self.workers, self.epochs, self.mode = name, total, workers, epochs, mode
        self.metric = ledger.metric
        self.counts: Counter[str] = Counter(
            record.status for record in ledger.records.values() if record.status != "running"
        )
        self.best: tuple[float, int] | None = None
        for record in ledger.records.values():
            self._consider(record)
        self.running: dict[int, Running] = {}
        self.notes: list[str] = []
        self._began, self._here = time.monotonic(), 0
        self._last_line = -SPARSE_SECONDS
        self._live: Live | None = None

    # --- what happens -----------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self._began = time.monotonic()
        if self.console.is_terminal:
            self._live = Live(get_renderable=self.screen, console=self.console, refresh_per_second=4, transient=True)
            self._live.start()
        else:
            self._line(force=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None
        self.running.clear()
        self._line(force=True)

    def started(self, plan: Plan, total: int) -> None:
        self.total = total
        self.running[plan.number] = Running(plan, time.monotonic())

    def epoch(self, number: int, result: Mapping[str, Any]) -> None:
        if (running := self.running.get(number)) is not None and "epoch" in result:
            running.epoch, running.value = int(result["epoch"]), result.get(self.metric)
        self._line()

    def concluded(self, record: Record, total: int) -> None:
        self.total = total
        self.running.pop(record.plan.number, None)
        self.counts[record.status] += 1
        self._here += 1
        self._consider(record)
        if record.status == "failed":
            self.warn(f"trial {record.plan.number} failed: {record.reason}")
        self._line()

    def warn(self, message: str) -> None:
        """Print a line that stays, above the live screen."""
        self.notes.append(message)
        self.console.print(Text(message), highlight=False, soft_wrap=True)  # a command in it can be copied

    def _consider(self, record: Record) -> None:
        better = (lambda new, old: new > old) if self.mode == "max" else (lambda new, old: new < old)
        if record.value is not None and (self.best is None or better(record.value, self.best[0])):
            self.best = (record.value, record.plan.number)

    # --- how it looks -----------------------------------------------------------------------------------------------

    @property
    def done(self) -> int:
        return sum(self.counts.values())

    def seconds_left(self) -> float | None:
        """What the pace so far lets expect; None before the first trial ended."""
        if not self._here:
            return None
        return (self.total - self.done) * (time.monotonic() - self._began) / self._here

    def summary(self) -> str:
        parts = [f"{self.name}: {self.done}/{self.total} done", f"{len(self.running)} running"]
        parts.append(f"{self.counts['failed']} failed")
        if self.best is not None:
            parts.append(f"best {self.metric} {self.best[0]:.2f} (trial {self.best[1]})")
        left = self.seconds_left()
        if left is not None and self.done < self.total:
            parts.append(f"about {duration(left)} left")
        return ", ".join(parts)

    def screen(self) -> RenderableType:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for header in ("trial", "phase", "epoch", self.metric, "time"):
            table.add_column(header, justify="left" if header == "phase" else "right")
        for number, running in sorted(self.running.items())[:SHOWN]:
            table.add_row(
                str(number),
                running.plan.phase,
                f"{running.epoch}/{running.plan.overrides.get('training.epochs', self.epochs)}",
                "" if running.value is None else f"{running.value:.2f}",
                duration(time.monotonic() - running.since),
            )
        if len(self.running) > SHOWN:
            table.add_row("...", f"and {len(self.running) - SHOWN} more", "", "", "")
        bar = ProgressBar(total=max(self.total, 1), completed=self.done, width=60)
        return Group(Text(self.summary(), style="bold"), bar, table)

    def _line(self, force: bool = False) -> None:
        if self._live is not None:
            return
        if force or time.monotonic() - self._last_line >= SPARSE_SECONDS:
            self._last_line = time.monotonic()
            self.console.print(Text(self.summary()), highlight=False, soft_wrap=True)


class Periodic:
    """An action that is done now and then, however often it is called: a twentieth of the time at most goes into it."""

    def __init__(self, action: Callable[[], object], at_least: float = 10.0) -> None:
        self.action, self.at_least = action, at_least
        self._next = time.monotonic() + at_least

    def __call__(self) -> None:
        if time.monotonic() < self._next:
            return
        began = time.monotonic()
        self.action()
        self._next = time.monotonic() + max(self.at_least, 20 * (time.monotonic() - began))
