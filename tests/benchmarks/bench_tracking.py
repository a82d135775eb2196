"""What W&B costs a trial offline: start, 60 epochs, pictures, variance table, summary, end. At most 0.15 s a trial.

The work is done by a thread of the driver, beside the training; what is printed is the time that this thread took, and
the time that the driver's calls took before they returned. The first trial also pays for the client's import and for
its service: it is printed apart.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from trial_folders import CONFIG, history_rows, write_trial

from sweeps.tracking import offline
from sweeps.tracking.epochs import metrics_by_epoch
from sweeps.tracking.trial_runs import TrialRuns

TRIALS, EPOCHS, REPLICATES = 20, 60, 3
LIMIT = 0.15


def main() -> None:
    metrics = metrics_by_epoch(history_rows(EPOCHS - 1, REPLICATES))
    with tempfile.TemporaryDirectory() as folder:
        run_folder = Path(folder)
        runs = TrialRuns(run_folder, "bench")
        calls = []
        for number in range(TRIALS):
            started = time.perf_counter()
            runs.start(number, CONFIG, "search")
            for epoch, values in metrics.items():
                runs.log(number, epoch, values)
            calls.append(time.perf_counter() - started)
            trial = write_trial(run_folder, number, EPOCHS - 1, replicates=REPLICATES)
            started = time.perf_counter()
            runs.finish(number, trial, "finished")
            calls[-1] += time.perf_counter() - started
        runs.close(120)
        rows = {seen.rows for seen in offline.count(run_folder).values()}
    names = len(next(iter(metrics.values())))
    first, later = runs.seconds[0], [runs.seconds[number] for number in range(1, TRIALS)]
    print(f"{TRIALS} trials of {EPOCHS} epochs with about {names} metrics; load {os.getloadavg()[0]:.1f}")
    print(f"first trial          {first:.3f} s (with import and service)")
    print(f"further trials       {statistics.median(later):.3f} s median, {max(later):.3f} s at most (limit {LIMIT} s)")
    print(f"in the driver's way  {statistics.median(calls) * 1000:.2f} ms a trial")
    assert rows == {EPOCHS}, rows
    busy = os.getloadavg()[0] > (os.cpu_count() or 1)  # then most of it is waiting for a turn
    if statistics.median(later) > LIMIT and not busy:
        sys.exit(f"tracking took more than {LIMIT} s a trial")


if __name__ == "__main__":
    main()
