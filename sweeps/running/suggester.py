"""Tune's view of the planner: which trial is next."""

from __future__ import annotations

import math
import time
from typing import Any

from ray.tune.search import Searcher

from pipeline.config import ConfigError
from sweeps.record.ledger import Ledger
from sweeps.running.worker import Assignment
from sweeps.search.plan import Plan
from sweeps.search.planner import Planner, Waiting


class Suggester(Searcher):
    """A search algorithm for Tune: first the trials that must run again, then those that the planner decides on."""

    def __init__(self, planner: Planner, ledger: Ledger, again: list[Plan], deadline: float = math.inf) -> None:
        """`deadline`, by the monotonic clock, is when the sweep's time is used up."""
        super().__init__()
        self.planner, self.ledger, self.again, self.deadline = planner, ledger, list(again), deadline
        self.exhausted = False
        """All trials of the sweep are over: asking the planner once more would plan the next one."""

    def decide(self) -> bool:
        """Whether there is anything to run; a new trial that was decided thereby is the first."""
        if not self.again and isinstance(plan := self._next(), Plan):
            self.again.append(plan)
        return bool(self.again)

    def suggest(self, trial_id: str) -> Any:
        """The next trial, as Tune hands it to a worker; None while it depends on a result that is not there yet."""
        began = time.perf_counter()
        while True:
            plan = self.again.pop(0) if self.again else self._next()
            if plan is None:
                self.exhausted = True
                return str(Searcher.FINISHED)
            if isinstance(plan, Waiting):
                return None
            self.ledger.start(plan, suggestion=time.perf_counter() - began)
            try:
                return Assignment(plan.number, self.planner.config(plan)).for_tune()
            except ConfigError as error:  # planned by an earlier version of the code, which allowed it
                self.ledger.conclude(plan.number, " ".join(str(error).split()))

    def _next(self) -> Plan | Waiting | None:
        """What the planner decides, past the trials that need no run."""
        closed = time.monotonic() >= self.deadline
        while isinstance(plan := self.planner.next(self.ledger.outcome, closed=closed), Plan):
            if not self.ledger.settled(plan):
                break
        return plan

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Nothing: the ledger has the result."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the study is the record, and Tune's own state is never restored."""

    def __getstate__(self) -> dict[str, Any]:
        """What Tune pickles: nothing of the planner's, which lives in this process only."""
        return {"_metric": None, "_mode": None}
