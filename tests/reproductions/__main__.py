"""`make reproduce ROW=course`: run the sweeps of a row, or go on with them, and print its lines of the table.

    python -m tests.reproductions course [--no-run] [--workers 2] [--into docs/reproductions.md]

`--no-run` prints what the sweeps hold so far; `--into` puts the lines in their place in a document, between the marks
`<!-- course -->` and `<!-- end -->`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from analysis import tables
from tests.reproductions import course, dimension, gpu, linear, prior, variance
from tests.reproductions.lines import Line, Sweeps

SPECS = Path(__file__).parents[2] / "sweeps" / "specs" / "reproductions"


class Row(NamedTuple):
    title: str
    sweeps: tuple[str, ...]
    lines: Callable[[Sweeps], list[Line]]


ROWS = {
    "course": Row("The course's VAE", ("course", "course_2d"), course.lines),
    "dimension": Row("ELBO against dimension", ("dimension_bernoulli", "dimension_4bit"), dimension.lines),
    "linear": Row("Linear VAE = probabilistic PCA", ("linear_digits", "linear_mnist"), linear.lines),
    "collapse": Row(
        "KL and collapse", ("course", "course_2d", "dimension_bernoulli", "dimension_4bit"), course.collapse
    ),
    "prior": Row("Prior Monte Carlo's cost law", ("prior",), prior.lines),
    "variance": Row("Estimator variance", ("variance",), variance.lines),
    "iwae": Row("IWAE", ("iwae", "iwae_vae"), gpu.iwae),
    "pythae": Row("pythae's table", ("pythae_vae", "pythae_iwae"), gpu.pythae),
}


def bring(name: str, runs: Path, workers: int | None) -> None:
    """Run the sweep, or what is left of it."""
    started = (runs / name / "spec.yaml").is_file()
    what = ["resume", name] if started else ["run", str(SPECS / f"{name}.yaml")]
    extra = [] if workers is None else ["--workers", str(workers)]
    command = [sys.executable, "-m", "sweeps.cli", *what, "--runs-dir", str(runs), *extra]
    if code := subprocess.run(command, check=False).returncode:
        sys.exit(code)


def table(row: Row, runs: Path) -> list[str]:
    """The row as Markdown: its lines, and beneath them what each sweep took where."""
    there = {name: tables.load(runs / name) for name in row.sweeps if (runs / name / "trials.parquet").is_file()}
    missing = [name for name in row.sweeps if name not in there]
    out = [f"## {row.title}", "", *([f"Not run: {', '.join(missing)}.", ""] if missing else [])]
    if not there:
        return out
    out += ["| quantity | published | ours | holds |", "|---|---|---|---|"]
    marks = {True: "yes", False: "**no**", None: ""}
    out += [f"| {line.quantity} | {line.published} | {line.ours} | {marks[line.holds]} |" for line in row.lines(there)]
    return [*out, "", *(_source(sweep) for sweep in there.values()), ""]


def into(text: str, name: str, lines: list[str]) -> str:
    """The document with the row in place of what stands between its marks."""
    mark, end = f"<!-- {name} -->\n", "<!-- end -->"
    before, found, after = text.partition(mark)
    if not found or end not in after:
        raise SystemExit(f"the document must hold {mark.strip()} and {end} after it, got neither or one")
    return before + mark + "\n".join(lines) + after[after.index(end) :]


def _source(sweep: tables.Sweep) -> str:
    finished = int((sweep.trials["status"] == "finished").sum())
    hardware = sweep.info["hardware"]
    cores = hardware["cores"]
    where = ", ".join(hardware["gpus"]) or ("1 CPU core" if cores == 1 else f"{cores} CPU cores")
    trained = sweep.trials["seconds.total"].sum() if "seconds.total" in sweep.trials else 0.0
    return (
        f"- `{sweep.name}`: {finished} of {sweep.info['total']} trials finished, {sweep.info['seconds']:.0f} s of "
        f"wall time ({trained:.0f} s in the trials) on {where}, one thread a trial; revision {_revision(sweep)}"
    )


def _revision(sweep: tables.Sweep) -> str:
    git = sweep.info.get("git")
    return "unknown" if not git else git["revision"][:10] + ("+" if git["dirty"] else "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("row", choices=ROWS)
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"))
    parser.add_argument("--workers", type=int)
    parser.add_argument("--no-run", action="store_true")
    parser.add_argument("--into", type=Path)
    arguments = parser.parse_args()
    row = ROWS[arguments.row]
    for name in () if arguments.no_run else row.sweeps:
        bring(name, arguments.runs_dir, arguments.workers)
    lines = table(row, arguments.runs_dir)
    if arguments.into:
        arguments.into.write_text(into(arguments.into.read_text("utf-8"), arguments.row, lines), encoding="utf-8")
    else:
        print("\n".join(lines))


if __name__ == "__main__":
    main()
