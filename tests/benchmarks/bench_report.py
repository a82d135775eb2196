"""Seconds of the report, at 100 and 1,000 synthetic trials.

python -m tests.benchmarks.bench_report [--trials 100 1000]
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from tests.benchmarks.timing import table

sys.path.insert(0, str(Path(__file__).parents[1]))  # the tests import each other by their plain names
import synthetic

from analysis import report, tables


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, nargs="*", default=[100, 1000])
    rows = []
    for trials in parser.parse_args().trials:
        with tempfile.TemporaryDirectory() as folder:
            run = synthetic.write(Path(folder) / "run", trials=trials)
            started = time.perf_counter()
            tables.load(run)
            loaded = time.perf_counter()
            report.write(run, Path(folder) / "report")
            written = time.perf_counter()
            size = sum(path.stat().st_size for path in (Path(folder) / "report").rglob("*") if path.is_file())
        rows.append([trials, loaded - started, written - loaded, size / 1e6])
    print(f"load {os.getloadavg()[0]:.1f}")
    table(["trials", "load s", "report s", "report MB"], rows)


if __name__ == "__main__":
    main()
