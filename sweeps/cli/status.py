"""What a sweep's folder says about it: counts, the best so far, and whether its records agree."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.config import ConfigError
from pipeline.files import read_json
from sweeps.layout import STATE
from sweeps.machine.watchdog import last_words
from sweeps.record import folders
from sweeps.record.ledger import Ledger, Record, read_result
from sweeps.record.reconciliation import Reconciliation, reconcile
from sweeps.record.state import State
from sweeps.record.times import duration, elapsed


@dataclass(frozen=True)
class Status:
    """How a sweep stands."""

    folder: Path
    state: str
    """One of `sweeps.record.state.State`."""
    counts: Counter[str]
    total: int
    metric: str
    best: Record | None
    seconds_left: float | None
    reconciliation: Reconciliation | None = None
    """None while the sweep runs: its records are written one after the other."""

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def disagreements(self) -> list[str]:
        return self.reconciliation.gaps if self.reconciliation else []


def read(name: str, runs_dir: Path, *, check: bool = True) -> Status:
    """Read how a sweep stands; `check` also compares all its records, which takes seconds for a large one."""
    folder = folders.find(name, runs_dir)
    spec = folders.spec_to_read_by(folder)
    ledger = Ledger(folder, *spec.search.modes)
    info = read_json(folder / STATE) if (folder / STATE).exists() else {}
    alive = folders.running(folder)
    state = info.get("state", State.RUNNING)
    if not alive and state == State.RUNNING:
        state = State.KILLED
    counts = Counter(str(record.status) for record in ledger.records.values())
    total = max(len(ledger.records), int(info.get("total", 0)))
    usable = [record for record in ledger.records.values() if record.value is not None]
    sign = 1 if spec.search.mode == "max" else -1
    best = max(usable, key=lambda record: sign * (record.value or 0.0), default=None)
    reconciliation = None if alive or not check else reconcile(folder, spec, ledger)
    left = _seconds_left(ledger, total, int(info.get("resources", {}).get("workers", 1))) if alive else None
    return Status(folder, state, counts, total, spec.search.metric, best, left, reconciliation)


def lines(status: Status) -> list[str]:
    """The status as it is printed."""
    done = status.counts["finished"] + status.counts["failed"] + status.counts["stopped"]
    under_way = "to go on" if status.state in (State.INTERRUPTED, State.KILLED) else "running"
    words = {"finished": "finished", "running": under_way, "failed": "failed", "stopped": "stopped"}
    counts = ", ".join(f"{status.counts[name]} {word}" for name, word in words.items())
    said = [f"{status.name}: {status.state}, {done} of {status.total} trials done ({counts})"]
    if status.best is not None:
        said.append(f"best {status.metric}: {status.best.value:.3f} (trial {status.best.plan.number})")
    if status.seconds_left is not None:
        said.append(f"about {duration(status.seconds_left)} left")
    if status.state in (State.INTERRUPTED, State.KILLED):
        said.append(f"to go on: {folders.to_resume(status.folder)}")
    return said + (status.reconciliation.lines() if status.reconciliation else [])


def _seconds_left(ledger: Ledger, total: int, workers: int) -> float | None:
    """From the time that trials took so far; None before the first has ended."""
    records = ledger.records.values()
    took = [elapsed(record.started, record.ended) for record in records if record.ended is not None]
    return sum(took) / len(took) * (total - len(took)) / workers if took else None


def overview(runs_dir: Path) -> list[dict[str, Any]]:
    """A row for each sweep of the runs folder."""
    rows: list[dict[str, Any]] = []
    for name in folders.names(runs_dir):
        try:
            status = read(name, runs_dir, check=False)
        except ConfigError as error:
            rows.append({"name": name, "state": "damaged", "done": "", "failed": "", "best": str(error)})
            continue
        done = sum(status.counts[key] for key in ("finished", "failed", "stopped"))
        best = "" if status.best is None else f"{status.metric} {status.best.value:.3f}"
        rows.append(
            {
                "name": name,
                "state": status.state,
                "done": f"{done}/{status.total}",
                "failed": status.counts["failed"],
                "best": best,
            }
        )
    return rows


def trial_lines(name: str, number: int, runs_dir: Path) -> list[str]:
    """Everything there is to say about one trial."""
    folder = folders.find(name, runs_dir)
    spec = folders.spec_to_read_by(folder)
    ledger = Ledger(folder, *spec.search.modes)
    record = ledger.records.get(number)
    if record is None:
        raise ConfigError(f"{folder}: has trials 0 to {len(ledger.records) - 1}, got {number}")
    said = [f"{name} trial {number}: {record.status}, phase {record.plan.phase}, started {record.started}"]
    if record.reason:
        said.append(f"reason: {record.reason}")
    varied = set(record.plan.overrides)
    said += [
        f"  {'*' if key in varied else ' '} {key}: {value}" for key, value in spec.flat(record.plan.overrides).items()
    ]
    result = read_result(ledger.trial_folder(number))
    for key, value in (result or {}).get("metrics", {}).items():
        if not key.endswith(".standard_error") and value is not None:
            error = (result or {})["metrics"].get(f"{key}.standard_error")
            said.append(f"    {key} = {value:.4f}" + ("" if error is None else f" +- {error:.4f}"))
    if record.status == "failed" and (log := last_words(ledger.trial_folder(number))):
        said += ["log:", *log.splitlines()]
    return [*said, str(ledger.trial_folder(number))]
