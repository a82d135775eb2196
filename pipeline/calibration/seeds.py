"""The calibration over many seeds, shipped with the package: made once per version, because one seed cannot see a bias.

    python -m pipeline.calibration.seeds        makes the table anew and says how it differs (`make calibrate`)

One table of z-scores finds a bias of one standard error in a row with probability 3e-5; the mean over 20 seeds with
0.87 (`detection_power` in analysis). Twenty take minutes, so a sweep copies the shipped ones beside its own seed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from pipeline.calibration.rows import BY_ULPS, Row
from pipeline.calibration.table import calibrate

SHIPPED = Path(__file__).with_name("seeds.json")
SEEDS = tuple(range(20))
"""Chosen before any was looked at; a sweep's own quick calibration has the sweep's seed."""
DIGITS = 4
"""Decimals of a z-score or of ulps in the file."""


def table(seeds: Iterable[int] = SEEDS) -> dict[str, Any]:
    """The calibration of every seed: {elbosweep, torch, seeds, rows: [{estimator, quantity, compared, scores}]}.

    A row's `scores` are its z-scores, one a seed, or its ulps where it is deterministic.
    """
    seeds = list(seeds)
    runs = [calibrate(seed) for seed in seeds]
    rows = [_row([run[number] for run in runs]) for number in range(len(runs[0]))]
    return {"elbosweep": _version(), "torch": torch.__version__, "seeds": seeds, "rows": rows}


def _row(runs: list[Row]) -> dict[str, Any]:
    """One comparison over the seeds."""
    first = runs[0]
    column = "ulps" if first["compared"] == BY_ULPS else "z_score"
    named = {key: first[key] for key in ("estimator", "quantity", "compared")}
    return {**named, "scores": [round(run[column], DIGITS) for run in runs]}


def _version() -> str:
    try:
        return version("elbosweep")
    except PackageNotFoundError:  # a checkout that is not installed
        return "unknown"


def shipped() -> dict[str, Any]:
    """The table as it was shipped."""
    document: dict[str, Any] = json.loads(SHIPPED.read_text(encoding="utf-8"))
    return document


def shipped_rows() -> list[dict[str, Any]]:
    """The shipped table in long form: {seed, estimator, quantity, compared, z_score, ulps, version}."""
    document = shipped()
    rows = []
    for row in document["rows"]:
        named = {key: row[key] for key in ("estimator", "quantity", "compared")}
        exact = row["compared"] == BY_ULPS
        for seed, score in zip(document["seeds"], row["scores"], strict=True):
            scores = {"z_score": None if exact else score, "ulps": score if exact else None}
            rows.append({"seed": seed, **named, **scores, "version": document["elbosweep"]})
    return rows


def differences(before: dict[str, Any], after: dict[str, Any]) -> tuple[list[str], float]:
    """Rows that only one of two tables has, and the largest difference of a score that both have."""
    scores = [
        {(row["estimator"], row["quantity"]): dict(zip(document["seeds"], row["scores"])) for row in document["rows"]}
        for document in (before, after)
    ]
    unmatched = sorted(", ".join(name) for name in scores[0].keys() ^ scores[1].keys())
    both = [
        abs(scores[0][name][seed] - scores[1][name][seed])
        for name in scores[0].keys() & scores[1].keys()
        for seed in scores[0][name].keys() & scores[1][name].keys()
    ]
    return unmatched, max(both, default=0.0)


def rendered(document: dict[str, Any]) -> str:
    """The file's text: one line a row."""
    head = {key: value for key, value in document.items() if key != "rows"}
    lines = ",\n".join(f"  {json.dumps(row, ensure_ascii=False)}" for row in document["rows"])
    return f'{json.dumps(head)[:-1]}, "rows": [\n{lines}\n]}}\n'


def main() -> None:
    """Make the table anew, say how it differs from the shipped one, and write it."""
    torch.set_num_threads(1)  # small tensors
    made = table()
    if SHIPPED.is_file():
        unmatched, largest = differences(shipped(), made)
        for name in unmatched:
            print(f"in one of the two only: {name}")
        print(
            f"{len(made['seeds'])} seeds, {len(made['rows'])} rows; largest difference to what was shipped {largest:g}"
        )
    SHIPPED.write_text(rendered(made), encoding="utf-8")


if __name__ == "__main__":
    main()
