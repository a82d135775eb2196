"""Do all records of a sweep know the same trials, and the same epochs of each? Tune, Optuna, the tables, W&B.

The ledger is written from Tune's events, and Tune's own state ends with its process: it speaks for Tune here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.layout import HISTORY, RESULT
from sweeps.layout import JOURNAL, TRIALS, table_file
from sweeps.record.ledger import Ledger, read_result
from sweeps.search import journal
from sweeps.specification.spec import SweepSpec
from sweeps.tracking import offline
from sweeps.tracking.offline import Logged

W_AND_B_STATES = {"finished": "finished", "stopped": "finished", "failed": "failed"}
"""State of a trial's W&B run by its status. Stopped early is not failed: the summary tells the two apart."""


@dataclass(frozen=True)
class Reconciliation:
    """What the comparison of a sweep's records came to."""

    counts: dict[str, int]
    """Trials by record: Tune, Optuna, tables, W&B (those that are kept and exist)."""
    gaps: list[str]
    """One line for each thing that does not add up."""
    incomplete: list[int] = field(default_factory=list)
    """Trials that are over and whose W&B run is not whole."""

    def lines(self) -> list[str]:
        counts = ", ".join(f"{name} {count}" for name, count in self.counts.items())
        return [f"trials by record: {counts}", *(f"disagreement: {gap}" for gap in self.gaps)]


def reconcile(folder: Path, spec: SweepSpec, ledger: Ledger) -> Reconciliation:
    """Compare the records on the disk. No driver may be at work on the sweep; a trial may be unfinished."""
    counts, gaps = {"Tune": len(ledger.records)}, _results(ledger)
    if (asked := _asked(spec, folder)) is not None:
        counts["Optuna"] = len(asked)
        gaps += _sets("Optuna's study", asked, set(ledger.records))
    if (table := _columns(folder, TRIALS, "trial", "status")) is not None:
        counts["tables"] = len(table)
        gaps += _table_of_trials(table, ledger)
    incomplete: list[int] = []
    if spec.tracking.wandb != "disabled":
        logged = offline.count(folder)
        counts["W&B"] = len(logged)
        gaps += _unknown(logged, ledger)
        problems = wandb_problems(folder, ledger, logged)
        incomplete = sorted(problems)
        gaps += [f"W&B: trial {number}: {problems[number]}" for number in incomplete]
    return Reconciliation(counts, gaps, incomplete)


def wandb_problems(folder: Path, ledger: Ledger, logged: dict[int, Logged]) -> dict[int, str]:
    """Trial -> what its W&B run lacks or has too much of. A trial that never ran needs no run."""
    epochs = _epochs(folder)
    problems = {}
    for number, record in ledger.records.items():
        if record.status == "running" or record.plan.problem is not None:
            continue
        expected = epochs.get(number, set()) if record.status == "finished" else None
        if problem := _wandb_problem(logged.get(number), record.status, expected):
            problems[number] = problem
    return problems


def _wandb_problem(seen: Logged | None, status: str, expected: set[int] | None) -> str | None:
    """`expected`: epochs of the history table; None where the table has no rows of the trial (it did not finish)."""
    if seen is None:
        return "has no run"
    if seen.rows != seen.epochs:
        return f"{seen.rows} rows for {seen.epochs} epochs"
    if expected is not None and seen.epochs != len(expected):
        return f"{seen.epochs} epochs, the history table has {len(expected)}"
    if expected and seen.last_epoch != max(expected):
        return f"ends at epoch {seen.last_epoch}, the history table at {max(expected)}"
    if seen.state != W_AND_B_STATES[status]:
        return f"the run is {seen.state}, the trial {status}"
    return None


def _asked(spec: SweepSpec, folder: Path) -> set[int] | None:
    """Numbers of the trials in Optuna's study; of a journal file without Optuna, which takes a second to import."""
    if spec.search.storage is None:
        return journal.asked(folder / JOURNAL, spec.name)
    from sweeps.search import study

    return study.asked(spec, folder)


def _results(ledger: Ledger) -> list[str]:
    return [
        f"trial {number} is finished in the ledger and has no {RESULT}"
        for number, record in sorted(ledger.records.items())
        if record.status == "finished" and read_result(ledger.trial_folder(number)) is None
    ]


def _table_of_trials(table: list[tuple[Any, ...]], ledger: Ledger) -> list[str]:
    name = table_file(TRIALS)
    return _sets(name, {number for number, _ in table}, set(ledger.records)) + [
        f"trial {number} is {status} in {name} and {ledger.records[number].status} in the ledger"
        for number, status in table
        if number in ledger.records and status != ledger.records[number].status
    ]


def _unknown(logged: dict[int, Logged], ledger: Ledger) -> list[str]:
    return [
        f"W&B has a run of trial {number}, the ledger does not" for number in sorted(set(logged) - set(ledger.records))
    ]


def _sets(name: str, numbers: set[int], in_ledger: set[int]) -> list[str]:
    if numbers == in_ledger:
        return []
    first = min(numbers ^ in_ledger)
    return [f"{name} has {len(numbers)} trials, the ledger {len(in_ledger)}; first different: {first}"]


def _epochs(folder: Path) -> dict[int, set[int]]:
    """Trial -> the epochs that the history table has of it."""
    epochs: dict[int, set[int]] = {}
    for number, epoch in _columns(folder, HISTORY, "trial", "epoch") or ():
        epochs.setdefault(number, set()).add(epoch)
    return epochs


def _columns(folder: Path, name: str, *columns: str) -> list[tuple[Any, ...]] | None:
    """Columns of a table, row by row; None where the table is missing or damaged (the report names the damage)."""
    path = folder / table_file(name)
    if not path.exists():
        return None
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:  # `read_table` would import pandas
            table = file.read(columns=list(columns))
        return list(zip(*(table.column(column).to_pylist() for column in columns)))
    except (OSError, pa.ArrowException, KeyError):
        return None


def make_whole(folder: Path, spec: SweepSpec, ledger: Ledger, numbers: list[int], warn: Callable[[str], None]) -> None:
    """Write the W&B runs of these trials anew from the tables' own source, the trials' folders."""
    from sweeps.tracking.trial_runs import END_SECONDS, TrialRuns

    runs = TrialRuns(folder, spec.name, spec.tracking, warn)
    for number in numbers:
        record = ledger.records[number]
        runs.start(number, spec.flat(record.plan.overrides), record.plan.phase)
        runs.finish(number, ledger.trial_folder(number), record.status)
    runs.close(END_SECONDS)
