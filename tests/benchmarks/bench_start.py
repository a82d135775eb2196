"""Seconds and memory of the commands that only read a sweep, as whole processes, beside `import pandas`.

python -m tests.benchmarks.bench_start [--rounds 5] [--python-path OTHER_CHECKOUT]

The sweep is one of four fake trials with W&B runs; `--python-path` times an older checkout on it in the same rounds.
All are started in turns, so that a noisy machine hits all alike. Wall seconds are medians; the processor's seconds are
the least of all rounds, since whatever else the machine does can only add to them.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from recorded_sweep import record_sweep

from tests.benchmarks.timing import table

HERE = Path(__file__).parents[2]
COMMANDS = {
    "--help": ["--help"],
    "list": ["list"],
    "status": ["status", "done"],
    "show": ["show", "done", "0"],
    "plan": ["plan", "done", "--standard-error", "0.5"],
}


@dataclass(frozen=True)
class Cost:
    """What one process took."""

    seconds: float
    processor: float
    mebibytes: float
    """The most memory that it had at any time."""


LAUNCHER = """
import json, os, subprocess, sys, time
began = time.perf_counter()
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(process.pid, 0)
seconds = time.perf_counter() - began
print(json.dumps([os.waitstatus_to_exitcode(status), seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024]))
"""
"""Starts a program from a small process: the system counts the memory of the one that starts it as its own."""


def cost(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> Cost:
    """Run a program to its end.

    Raises:
        SystemExit: it failed.
    """
    launch = [sys.executable, "-I", "-S", "-c", LAUNCHER, *command]
    done = subprocess.run(launch, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    code, *numbers = json.loads(done.stdout)
    if code:
        raise SystemExit(f"{' '.join(command)} ended with {code}")
    return Cost(*numbers)


def module(checkout: Path) -> str:
    """The module that holds the command line of a checkout; it was a single file once."""
    return "sweeps.cli.main" if (checkout / "sweeps" / "cli" / "main.py").exists() else "sweeps.cli"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--python-path", type=Path, help="another checkout to time in the same rounds")
    options = parser.parse_args()
    checkouts = {"here": HERE} | ({} if options.python_path is None else {"other": options.python_path.resolve()})
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        record_sweep(folder / "runs", wandb="offline", failing=None)
        programs = {("import pandas", ""): ([sys.executable, "-c", "import pandas"], dict(os.environ))}
        for label, checkout in checkouts.items():
            environment = {**os.environ, "PYTHONPATH": str(checkout)}
            for title, arguments in COMMANDS.items():
                command = [sys.executable, "-m", module(checkout), *arguments]
                programs[title, label] = (command, environment)
        # The first round fills the caches of the disk and is not counted.
        rounds = [
            {key: cost(command, folder, environment) for key, (command, environment) in programs.items()}
            for _ in range(options.rounds + 1)
        ][1:]
    rows = []
    for title, label in programs:
        costs = [each[title, label] for each in rounds]
        wall, processor = statistics.median(c.seconds for c in costs), min(c.processor for c in costs)
        rows.append((title, label, wall, processor, max(c.mebibytes for c in costs)))
    print(f"load {os.getloadavg()[0]:.1f}")
    table(("process", "checkout", "seconds", "processor seconds", "MiB"), rows)


if __name__ == "__main__":
    main()
