"""A sweep of fake trials in a process of its own, for tests that interrupt or kill it.

python tests/support/fake_sweep.py run|resume RUNS_DIR SPEC.yaml WORKERS FAKE_TRIAL_AS_JSON
"""

from __future__ import annotations

import sys
from pathlib import Path
from unittest import mock

import fake_trial
import ray.cloudpickle

from sweeps.machine.interrupts import ignore_more
from sweeps.running.sweep import Setting, Sweep
from sweeps.specification.reading import load

CALIBRATION = {
    "estimator": "fake",
    "quantity": "nothing",
    "value": 0.0,
    "exact": 0.0,
    "compared": "standard error",
    "standard_error": 1.0,
    "z_score": 0.0,
    "ulps": None,
    "num_draws": 1,
}
"""The one row of a calibration that takes no time."""


def main(command: str, runs_dir: Path, path: Path, workers: int, trial: fake_trial.FakeTrial) -> int:
    spec, setting = load(path), Setting(runs_dir, workers=workers, function=trial)
    # Workers do not see this folder: the function goes to them by value.
    ray.cloudpickle.register_pickle_by_value(fake_trial)
    with mock.patch("pipeline.calibration.table.calibrate", return_value=[CALIBRATION]):
        code = Sweep(spec, setting).run() if command == "run" else Sweep.resume(spec.name, setting)
    ignore_more(code)  # as the command line does
    return code


if __name__ == "__main__":
    command, runs_dir, path, workers, trial = sys.argv[1:]
    sys.exit(main(command, Path(runs_dir), Path(path), int(workers), fake_trial.FakeTrial.from_json(trial)))
