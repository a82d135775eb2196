"""The record of a sweep on disk: one small file per trial, from which and from the results the tables are collected.

runs/NAME/trials/0007/trial.json    what was planned, and how it ended (written by the driver, atomically)
runs/NAME/trials/0007/result.json   what came out (written by the pipeline)
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from pipeline.config import ConfigError
from pipeline.files import read_json, set_aside, write_json
from pipeline.layout import LONG_TABLES, RESULT, rows_file
from sweeps.layout import RECORD, TRIALS, trial_folder
from sweeps.machine.watchdog import last_words
from sweeps.record.times import elapsed, now
from sweeps.search.plan import Outcome, Plan

SCHEMA = 1
Status = Literal["running", "finished", "failed", "stopped"]


@dataclass(frozen=True)
class Record:
    """What the ledger holds of one trial."""

    plan: Plan
    status: Status
    started: str
    ended: str | None = None
    reason: str | None = None
    value: float | None = None
    """Mean over the replicates of the metric that the search compares trials by."""
    standard_error: float | None = None
    """Of `value`; None with a single replicate."""
    others: dict[str, float] = field(default_factory=dict)
    """The further objectives of a search that has several."""
    stopped: list[list[float]] = field(default_factory=list)
    """Epochs at which early stopping looked at the trial that it ended, and the metric then: not a result."""
    device: str | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    files: dict[str, int] = field(default_factory=dict)
    """Checksums of what a finished trial left."""

    @classmethod
    def read(cls, path: Path) -> Record:
        """The record in a trial.json.

        Raises:
            ConfigError: the file holds none.
        """
        tree = read_json(path)
        try:
            tree.pop("schema")
            return cls(**{**tree, "plan": Plan(**tree["plan"])})
        except (KeyError, TypeError) as error:
            raise ConfigError(f"{path}: is not a trial's record: {error}; move it away to go on") from None


class Ledger:
    """All records of a sweep: starts and concludes trials, and answers how one ended."""

    def __init__(self, folder: Path, metric: str, *others: str) -> None:
        self.folder = folder
        self.metric, self.others = metric, others
        self.records: dict[int, Record] = {}
        for path in sorted((folder / TRIALS).glob(f"*/{RECORD}")):
            record = Record.read(path)
            self.records[record.plan.number] = record

    def trial_folder(self, number: int) -> Path:
        """The folder of a trial of this sweep."""
        return trial_folder(self.folder, number)

    def start(self, plan: Plan, **seconds: float) -> None:
        """Record that a trial begins; `seconds` is what it has cost already."""
        before = self.records.get(plan.number)
        spent = before.seconds if before is not None and before.plan == plan else {}
        self._write(Record(plan, "running", now(), seconds={**spent, **seconds}))

    def conclude(self, number: int, reason: str | None = None, death: str | None = None, **seconds: float) -> Record:
        """Close a trial from what its folder holds: finished if the result is there, complete and finite.

        Args:
            reason: why it failed, where that is known before it ran.
            death: what is said of a worker that left no message itself.
            seconds: what it has cost beside its training.
        """
        record, folder = self.records[number], self.trial_folder(number)
        result = read_result(folder)
        if result is None or reason is not None or result["config_hash"] != record.plan.config_hash:
            reason = reason or last_error(folder, death)
            concluded = replace(record, status="failed", ended=now(), reason=reason)
        else:
            concluded = self._with_result(record, result, seconds)
        self._write(concluded)
        return concluded

    def _with_result(self, record: Record, result: Mapping[str, Any], seconds: Mapping[str, float]) -> Record:
        """The record of a trial whose result is whole; failed all the same where an objective is not finite."""
        ended = now()
        wall = elapsed(record.started, ended)
        spent = {"orchestration": max(0.0, wall - result["seconds"].get("total", wall)), **seconds}
        device = result["environment"].get("device")
        record = replace(record, ended=ended, device=device, seconds=record.seconds | spent)
        values = {name: _measured(result, name) for name in (self.metric, *self.others)}
        finite = {name: value for name, value in values.items() if value is not None}
        if missing := [name for name in values if name not in finite]:
            return replace(record, status="failed", reason=f"{missing[0]} is not a finite number")
        return replace(
            record,
            status="finished",
            reason=None,
            value=finite[self.metric],
            standard_error=result["metrics"].get(f"{self.metric}.standard_error"),
            others={name: finite[name] for name in self.others},
            files=checksums(self.trial_folder(record.plan.number)),
        )

    def stop(self, number: int, reached: Sequence[tuple[int, float]], reason: str) -> Record:
        """Close a trial that early stopping ended."""
        record = replace(self.records[number], status="stopped", ended=now(), reason=reason)
        self._write(replace(record, stopped=[list(pair) for pair in reached]))
        return self.records[number]

    def outcome(self, number: int) -> Outcome | None:
        """How a trial ended; None while it has not."""
        record = self.records.get(number)
        if record is None or record.status == "running":
            return None
        return Outcome(
            record.status,
            record.value,
            record.standard_error,
            tuple(record.others[name] for name in self.others if name in record.others),
            tuple((int(epoch), value) for epoch, value in record.stopped),
        )

    def to_run_again(self, plans: list[Plan]) -> list[Plan]:
        """After a crash: conclude what had finished unnoticed; give back what must run again, under its own number."""
        again = [plan for plan in plans if not self.settled(plan)]
        for plan in again:
            record = self.records.get(plan.number)
            if record is None or record.status != "running":  # finished once, and its result was damaged since
                self.start(plan)
        return again

    def settled(self, plan: Plan) -> bool:
        """Whether a trial needs no run: it cannot be run, or it is over, recorded or not.

        After damage to the study or to a trial's record, the planner decides the same trials once more.
        """
        result = read_result(self.trial_folder(plan.number))
        measured = result is not None and result["config_hash"] == plan.config_hash
        record = self.records.get(plan.number)
        if record is not None and record.plan.config_hash == plan.config_hash and record.status != "running":
            return measured or record.status != "finished"
        if plan.problem is None and not measured:
            return False
        if record is None or record.plan.config_hash != plan.config_hash:
            self.start(plan)
        self.conclude(plan.number, plan.problem)
        return True

    def add_seconds(self, name: str, seconds: Mapping[int, float]) -> None:
        """Add what trials cost beside their training, known only once everything is written."""
        for number, value in seconds.items():
            record = self.records.get(number)
            if record is not None and record.status != "running":
                self._write(replace(record, seconds={**record.seconds, name: value}))

    def count(self, status: str) -> int:
        """The number of trials of a status."""
        return sum(record.status == status for record in self.records.values())

    def _write(self, record: Record) -> None:
        self.records[record.plan.number] = record
        write_json(self.trial_folder(record.plan.number) / RECORD, {"schema": SCHEMA, **asdict(record)})


def _measured(result: Mapping[str, Any], name: str) -> float | None:
    """A metric, or `seconds.*`, of a finished trial; None where it is missing or not finite."""
    part = name.removeprefix("seconds.")
    value = result["metrics"].get(name) if part == name else result["seconds"].get(part)
    return value if value is not None and math.isfinite(value) else None


def read_result(folder: Path) -> dict[str, Any] | None:
    """A trial's result.json if it finished; None where there is none. A damaged one is set aside, never used."""
    path = folder / RESULT
    if not path.exists():
        return None
    try:
        result: dict[str, Any] = read_json(path)
    except ConfigError as error:
        set_aside(path, str(error))
        return None
    return result if result.get("status") == "finished" else None


def checksums(folder: Path) -> dict[str, int]:
    """Checksums of a trial's result and of its rows, of which all tables of the sweep are made."""
    files = [folder / name for name in (RESULT, *map(rows_file, LONG_TABLES))]
    return {path.name: zlib.crc32(path.read_bytes()) for path in files if path.is_file()}


def last_error(folder: Path, death: str | None) -> str:
    """The reason of a failure, as the worker wrote it down before it raised, or the timer that ended it."""
    lines = last_words(folder).splitlines()
    return lines[-1] if lines else death or "its worker process died without a message"
