"""Processor seconds of the report at 100 and 1,000 synthetic trials, and the share of each page.

python -m tests.benchmarks.bench_report [--trials 100 1000]

Processor seconds, because the report is one thread and whatever else the machine does would count in a clock's.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import synthetic

from tests.benchmarks.timing import table

IMPORTING = time.process_time()
from analysis import report  # noqa: E402

IMPORTED = time.process_time() - IMPORTING


def seconds(run: Path, folder: Path) -> dict[str, float]:
    """Processor seconds of each step that the report announces, in order."""
    steps: list[tuple[str, float]] = []
    report.write(run, folder, lambda line: steps.append((line, time.process_time())))
    ends = [started for _, started in steps[1:]] + [time.process_time()]
    return {line: end - started for (line, started), end in zip(steps, ends, strict=True)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, nargs="*", default=[100, 1000])
    print(f"load {os.getloadavg()[0]:.1f}; importing the report: {IMPORTED:.1f} s")
    for trials in parser.parse_args().trials:
        with tempfile.TemporaryDirectory() as name:
            run, folder = synthetic.write(Path(name) / "run", trials=trials), Path(name) / "report"
            spent = seconds(run, folder)
            size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        total = sum(spent.values())
        print(f"\n{trials:,} trials, {size / 1e6:.1f} MB")
        rows = [[step, taken, f"{taken / total:.0%}"] for step, taken in spent.items()]
        table(["step", "processor s", "share"], [*rows, ["in all", total, "100%"]])


if __name__ == "__main__":
    main()
