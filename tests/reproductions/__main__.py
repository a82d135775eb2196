"""`make reproduce ROW=course`: run the sweeps of a row, or go on with them, and print its lines of the table.

    python -m tests.reproductions course [--no-run] [--workers 2] [--into docs/reproductions.md]

`--no-run` prints what the sweeps hold so far; `--into` puts the lines in their place in a document, between the marks
`<!-- course -->` and `<!-- end -->`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from analysis import tables
from sweeps.record.provenance import FIXED
from sweeps.specification.reading import load
from tests.reproductions import course, dimension, gpu, linear, prior, variance
from tests.reproductions.lines import Line, Sweeps

SPECS = Path(__file__).parents[2] / "sweeps" / "specs" / "reproductions"


class Row(NamedTuple):
    title: str
    sweeps: tuple[str, ...]
    lines: Callable[[Sweeps], list[Line]]


ROWS = {
    "course": Row("The course's VAE", ("course", "course_2d"), course.lines),
    "dimension": Row("ELBO against dimension", dimension.CURVES, dimension.lines),
    "linear": Row("Linear VAE = probabilistic PCA", ("linear_digits", "linear_mnist"), linear.lines),
    "collapse": Row("KL and collapse", ("course", "course_2d", *dimension.CURVES), course.collapse),
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
    if started and not _as_specified(tables.load(runs / name)):
        sys.exit(f"{runs / name}: was run with another specification than {SPECS / name}.yaml: move it away")
    command = [sys.executable, "-m", "sweeps.cli.main", *what, "--runs-dir", str(runs), *extra]
    if code := subprocess.run(command, check=False).returncode:
        sys.exit(code)


def table(row: Row, runs: Path) -> list[str]:
    """The row as Markdown: its lines from finished trials, and beneath them what each sweep took where."""
    there = {name: tables.load(runs / name) for name in row.sweeps if (runs / name / "trials.parquet").is_file()}
    done = {name: sweep for name, sweep in there.items() if (sweep.trials["status"] == "finished").any()}
    missing = [name for name in row.sweeps if name not in there]
    out = [f"## {row.title}", "", *([f"Not run: {', '.join(missing)}.", ""] if missing else [])]
    if done:
        marks = {True: "yes", False: "**no**", None: ""}
        out += ["| quantity | published | ours | holds |", "|---|---|---|---|"]
        out += [
            f"| {line.quantity} | {line.published} | {line.ours} | {marks[line.holds]} |" for line in row.lines(done)
        ]
        out.append("")
    return [*out, *(source(sweep) for sweep in there.values()), *([""] if there else [])]


def into(text: str, name: str, lines: list[str]) -> str:
    """The document with the row in place of what stands between its marks."""
    mark, end = f"<!-- {name} -->\n", "<!-- end -->"
    before, _, after = text.partition(mark)
    old = after.partition(end)[0]
    if not after or end not in after or "<!-- " in old:
        raise SystemExit(f"the document must hold {mark.strip()} and its own {end} after it")
    return before + mark + "\n".join([*lines, ""]) + after[len(old) :]


def source(sweep: tables.Sweep) -> str:
    """How much of a sweep is there, what it took, and on what and from which revision each of its starts ran."""
    finished = int((sweep.trials["status"] == "finished").sum())
    trained = sweep.trials["seconds.total"].sum() if "seconds.total" in sweep.trials else 0.0
    spent = f"{sweep.info['seconds']:.0f} s of wall time ({trained:.0f} s in finished trials)"
    starts = [*sweep.info.get("earlier", []), sweep.info]
    unknown = sweep.info["resumed"] + 1 - len(starts)
    where = "; then ".join(_start(start) for start in starts)
    note = f"; {unknown} earlier start{'s' * (unknown > 1)} not recorded" if unknown else ""
    changed = "" if _as_specified(sweep) else "; **its specification has changed since**"
    return f"- `{sweep.name}`: {finished} of {sweep.info['total']} trials finished, {spent}: {where}{note}{changed}"


def _start(start: Mapping[str, Any]) -> str:
    """On what, and at which revision; `earlier` starts are those of a sweep that was resumed."""
    hardware, git = start["hardware"], start.get("git")
    cores = "1 core" if hardware["cores"] == 1 else f"{hardware['cores']} cores"
    where = ", ".join(hardware["gpus"]) or " ".join(filter(None, (cores, hardware.get("processor", ""))))
    revision = "unknown" if not git else git["revision"][:10] + ("+" if git["dirty"] else "")
    return f"{where}, revision {revision}"


def _as_specified(sweep: tables.Sweep) -> bool:
    """Whether the trials are those of the file that is there now."""
    now = yaml.safe_load(load(SPECS / f"{sweep.name}.yaml").written())
    return all(now.get(section) == sweep.info["spec"].get(section) for section in FIXED)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("row", choices=ROWS)
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"))
    parser.add_argument("--workers", type=int)
    parser.add_argument("--no-run", action="store_true")
    parser.add_argument("--into", type=Path)
    arguments = parser.parse_args()
    if arguments.into and not arguments.into.is_file():
        parser.error(f"--into: must be a file, got {arguments.into}")
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
