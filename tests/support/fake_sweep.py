"""A sweep of fake trials in a process of its own, for tests that interrupt or kill it.

python tests/support/fake_sweep.py run|resume RUNS_DIR SPEC.yaml WORKERS FAKE_TRIAL_AS_JSON
"""

from __future__ import annotations

import sys
from pathlib import Path

import fake_trial
import ray.cloudpickle

from sweeps.running import sweep
from sweeps.specification.reading import load

if __name__ == "__main__":
    # Workers do not see this folder: the function goes to them by value.
    ray.cloudpickle.register_pickle_by_value(fake_trial)
    command, runs_dir, path, workers, trial = sys.argv[1:]
    spec = load(Path(path))
    setting = sweep.Setting(Path(runs_dir), workers=int(workers), function=fake_trial.FakeTrial.from_json(trial))
    sys.exit(sweep.start(spec, setting) if command == "run" else sweep.resume(spec.name, setting))
