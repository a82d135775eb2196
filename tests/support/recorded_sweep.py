"""A small sweep as a driver leaves it, made from fake trials in a second and without Ray."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fake_trial import run_trial
from trial_folders import variance_rows, write_rows

from pipeline.files import read_rows
from sweeps.record.ledger import Ledger
from sweeps.record.tables import collect
from sweeps.search.plan import Plan
from sweeps.search.planner import Planner
from sweeps.specification.reading import parse
from sweeps.tracking.trial_runs import TrialRuns

Command = Callable[..., tuple[int, str, str]]
"""The command line in this process: arguments -> exit code, what it printed, what it complained of."""
TRIAL: dict[str, Any] = {
    "data": {"train_images": 128},
    "model": {"latent_dim": 2, "network": {"name": "mlp", "hidden": [8]}},
    "training": {"epochs": 2},
    "evaluation": {
        "max_images": 8,
        "num_samples": 2,
        "num_importance_samples": [1],
        "gap_images": 0,
        "prior_draws": 0,
        "pictures": False,
    },
    "variance": {"images": 0, "gradient_repeats": 0},
    "replicates": 2,
}
"""A configuration that trains in a moment."""


def record_sweep(runs_dir: Path, name: str = "done", *, wandb: str = "disabled", failing: int | None = 2) -> Path:
    """Write a sweep of four trials, over all parts of its record; gives back its folder.

    Args:
        wandb: mode of its W&B runs.
        failing: the trial that fails, if one does.
    """
    factors = {"model.latent_dim": [2, 4, 8, 16]}
    spec = parse({"name": name, "factors": factors, "base": TRIAL, "tracking": {"wandb": wandb}})
    folder = runs_dir / name
    folder.mkdir(parents=True)
    (folder / "spec.yaml").write_text(spec.written())
    planner, ledger = Planner(spec, folder), Ledger(folder, "validation.elbo")
    runs = TrialRuns(folder, name, spec.tracking)
    while isinstance(plan := planner.next(ledger.outcome), Plan):
        ledger.start(plan)
        trial = ledger.trial_folder(plan.number)
        runs.start(plan.number, spec.flat(plan.overrides), plan.phase)
        if plan.number != failing:
            run_trial(spec.trial(plan.overrides), trial, report=lambda epoch, metrics: None)
            write_rows(trial / "variance.jsonl", variance_rows())
            replicates = [row | {"seconds.training": 0.1} for row in read_rows(trial / "replicates.jsonl")]
            write_rows(trial / "replicates.jsonl", replicates)
        else:
            (trial / "error.txt").write_text("Traceback\nRuntimeError: no luck\n")
        runs.finish(plan.number, trial, ledger.conclude(plan.number).status)
    runs.close(60)
    collect(ledger, spec)
    info = {"schema": 1, "name": name, "state": "failed", "total": 4, "resources": {"workers": 2}}
    (folder / "sweep.json").write_text(json.dumps(info))
    return folder
