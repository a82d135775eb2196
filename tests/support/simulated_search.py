"""A sweep without Ray: the planner is asked, and trials end at once, in random order, with fake results."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fake_trial import bound

from sweeps.search.plan import Outcome, Plan
from sweeps.search.planner import Planner
from sweeps.specification.reading import parse
from sweeps.specification.spec import SweepSpec

FACTORS = {"model.latent_dim": [2, 4, 8, 16, 32]}
SPACE = {
    "training.learning_rate": {"float": [1e-4, 1e-2], "log": True},
    "objective.name": {"choice": ["elbo", "iwae"]},
    "objective.num_importance_samples": {"int": [2, 16]},
    "model.network.hidden": {"choice": [[16], [32, 32]]},
}


def specification(**search: Any) -> SweepSpec:
    """Five factorial trials, then a search over keys of every kind, one of which exists beside `iwae` only."""
    settings = {"sampler": "tpe", "trials": 16, "window": 4, **search}
    return parse({"name": "search", "factors": FACTORS, "space": SPACE, "search": settings})


def bound_of(spec: SweepSpec) -> Callable[[Plan], Outcome]:
    """The sixth trial fails, all others end with their fake bound."""

    def outcome(plan: Plan) -> Outcome:
        return Outcome("failed") if plan.number == 6 else Outcome("finished", bound(spec.trial(plan.overrides)))

    return outcome


def simulate(
    spec: SweepSpec,
    folder: Path,
    *,
    workers: int,
    crash_after: tuple[int, ...] = (),
    seed: int = 0,
    outcome: Callable[[Plan], Outcome] | None = None,
) -> list[Plan]:
    """Run a sweep without Ray: trials end in random order; a crash tears the journal and forgets the process."""
    order, outcomes, running = random.Random(seed), dict[int, Outcome](), list[Plan]()
    outcome = outcome or bound_of(spec)
    planner = Planner(spec, folder)
    while True:
        while len(running) < workers and isinstance(plan := planner.next(outcomes.get), Plan):
            running.append(plan)
        if not running:
            return planner.plans
        ended = running.pop(order.randrange(len(running)))
        outcomes[ended.number] = outcome(ended)
        if len(outcomes) in crash_after:
            if (folder / "study.journal").exists():
                with (folder / "study.journal").open("ab") as journal:
                    journal.write(b'{"op_code":4,"worker_id":"x","study')
            planner = Planner(spec, folder)
            running = [plan for plan in planner.plans if plan.number not in outcomes]
