"""What is shown while a sweep runs."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from sweeps.record.ledger import Ledger, Record
from sweeps.record.times import duration, now
from sweeps.running.progress import Progress
from sweeps.search.plan import Plan


def progress(tmp_path: Path, *, terminal: bool = False) -> tuple[Progress, io.StringIO]:
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=100, legacy_windows=False)
    shown = Progress(Ledger(tmp_path, "validation.elbo"), name="night", total=10, workers=2, epochs=5, console=console)
    return shown, out


def record(number: int, value: float | None, reason: str | None = None) -> Record:
    running = Record(Plan(number, "search", {}), "running", now())
    return replace(running, status="failed" if reason else "finished", value=value, reason=reason, ended=now())


def test_counts_best_and_running(tmp_path: Path) -> None:
    shown, _ = progress(tmp_path)
    for number, value in enumerate((-90.0, -80.5, -85.0)):
        shown.started(Plan(number, "search", {}), 10)
        shown.concluded(record(number, value), 10)
    shown.started(Plan(3, "search", {}), 10)
    shown.concluded(record(4, None, "no luck"), 10)
    assert shown.summary().startswith(
        "night: 4/10 done, 1 running, 1 failed, best validation.elbo -80.50 (trial 1), about "
    )


def test_the_smallest_is_best_when_it_is_minimised(tmp_path: Path) -> None:
    shown, _ = progress(tmp_path)
    shown.mode = "min"
    for number, value in enumerate((3.0, 1.0, 2.0)):
        shown.concluded(record(number, value), 10)
    assert shown.best == (1.0, 1)


def test_time_left_follows_the_pace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    shown, _ = progress(tmp_path)
    assert shown.seconds_left() is None
    shown.concluded(record(0, -1.0), 10)
    shown.concluded(record(1, -1.0), 10)
    clock[0] += 20.0
    assert shown.seconds_left() == pytest.approx(80.0)


def test_sparse_lines_where_there_is_no_terminal(tmp_path: Path) -> None:
    shown, out = progress(tmp_path)
    with shown:
        for number in range(5):
            shown.started(Plan(number, "search", {}), 10)
            for epoch in range(5):
                shown.epoch(number, {"epoch": epoch, "validation.elbo": -1.0})
            shown.concluded(record(number, -1.0), 10)
        shown.concluded(record(5, None, "no luck"), 10)
    lines = out.getvalue().splitlines()
    assert lines[0] == "night: 0/10 done, 0 running, 0 failed"
    assert "trial 5 failed: no luck" in lines
    assert lines[-1].startswith("night: 6/10 done")
    assert len(lines) == 3, "one line at the start, one for the failure, one at the end"


def test_a_live_screen_in_a_terminal(tmp_path: Path) -> None:
    shown, out = progress(tmp_path, terminal=True)
    with shown:
        shown.started(Plan(7, "search", {"training.epochs": 9}), 10)
        shown.epoch(7, {"epoch": 4, "validation.elbo": -81.25})
        console = Console(file=io.StringIO(), width=100)
        with console.capture() as capture:
            console.print(shown.screen())
    assert "night: 0/10 done, 1 running" in capture.get()
    assert "4/9" in capture.get()
    assert "-81.25" in capture.get()
    assert "\x1b[?25l" in out.getvalue(), "the cursor is hidden while the screen is live"


def test_it_goes_on_counting_after_a_resume(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, "validation.elbo")
    ledger.records = {0: record(0, -3.0), 1: Record(Plan(1, "search", {}), "running", now())}
    shown = Progress(ledger, name="night", total=10, workers=2, epochs=5, console=Console(file=io.StringIO()))
    assert shown.summary() == "night: 1/10 done, 0 running, 0 failed, best validation.elbo -3.00 (trial 0)"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59, "59 s"), (185, "3 min 05 s"), (7800, "2 h 10 min"), (59.7, "1 min 00 s")]
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text
