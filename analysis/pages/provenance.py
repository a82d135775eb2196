"""Page 5: every estimator against its exact value, and where the sweep's numbers come from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from typing import Any

import pandas as pd

from analysis import figures, statistics
from analysis.document.blocks import Block, Code, Figure, Heading, Note, Page, Panel, Table
from analysis.tables import Sweep
from analysis.wording import count

TITLES = ("Distance from the exact value", "continued")
MOST_ROWS = 30
LIMIT = 4.0
"""Standard errors that an estimator may be off: exceeded by chance once in 16,000, so seldom in a table of dozens."""


def page(sweep: Sweep) -> Page:
    """Calibration table and figure, then the record of the run as `sweep.json` holds it."""
    return Page(
        "provenance",
        "Calibration and provenance",
        "Are the estimators right where the answer is known, and how can this sweep be run again?",
        (*_calibration(sweep), *_record(sweep)),
    )


def _calibration(sweep: Sweep) -> list[Block]:
    heading = Heading("Every estimator against its exact value")
    if sweep.calibration.empty:
        return [
            heading,
            Note("This sweep has no calibration table (calibration.parquet), so the estimators were not checked here."),
        ]
    frame = sweep.calibration.assign(name=sweep.calibration["estimator"] + ", " + sweep.calibration["quantity"])
    scored = frame[frame["z_score"].notna()]
    caption = (
        f"Each estimator on a problem whose answer is known. n = {count(len(frame), 'estimate')}; "
        f"one standard error is the estimate's own; the band is ±{LIMIT:g}."
    )
    blocks: list[Block] = [heading]
    if not scored.empty:
        blocks.append(Figure(_panels(scored), caption, _verdict(scored)))
    shown = pd.DataFrame(
        {
            "estimator": frame["estimator"],
            "quantity": frame["quantity"],
            "value": frame["value"],
            "exact": frame["exact"],
            "standard error": [f"{value:.2g}" for value in frame["standard_error"]],
            "z": [_signed(value, 2) for value in frame["z_score"]],
            "draws": frame["num_draws"],
        }
    )
    blocks.append(
        Table("calibration", frame.drop(columns="name"), "Every estimate and its exact value.", 200, shown, folded=True)
    )
    return blocks


def _panels(scored: pd.DataFrame) -> tuple[Panel, ...]:
    """Two columns of rows where one would be taller than a page."""
    reach = 1.1 * max(LIMIT, float(scored["z_score"].abs().max()))
    half = -(-len(scored) // 2) if len(scored) > MOST_ROWS else len(scored)
    parts = [scored.iloc[start : start + half] for start in range(0, len(scored), half)]
    return tuple(
        Panel(
            "calibration" if place == 0 else f"calibration_{place + 1}",
            partial(figures.z_scores, frame=part, name="name", limit=LIMIT, reach=reach, title=TITLES[place]),
            "Standardised errors of every estimator where the answer is known",
            (4.9, 0.8 + 0.175 * max(8, half)),
        )
        for place, part in enumerate(parts)
    )


def _signed(value: float, decimals: int = 1) -> str:
    return f"{value:+.{decimals}f}".replace("-", "−")


def _verdict(scored: pd.DataFrame) -> str:
    off = scored[scored["z_score"].abs() > LIMIT]
    if off.empty:
        worst = scored.iloc[int(scored["z_score"].abs().argmax())]
        table = statistics.calibration_summary(scored, LIMIT).iloc[0]
        return (
            f"All {count(len(scored), 'estimate')} agree with their exact values within {LIMIT:g} standard errors; "
            f"the farthest is {worst['name']} at {_signed(worst['z_score'])}. Beyond 2 lie {table['beyond_2']:g}, "
            f"where chance alone would put {table['expected_beyond_2']:.1f}."
        )
    names = ", ".join(f"{row['name']} ({_signed(row['z_score'])})" for _, row in off.iterrows())
    return (
        f"{count(len(off), 'estimate')} of {len(scored)} lie beyond {LIMIT:g} standard errors: "
        f"{names}. Do not trust them before this is understood."
    )


def _record(sweep: Sweep) -> list[Block]:
    info = {key: value for key, value in sweep.info.items() if key != "spec"}
    rows = pd.DataFrame(_leaves(info), columns=["key", "value"])
    shown = pd.DataFrame([(key, _short(value)) for key, value in info.items()], columns=["key", "value"])
    seeds = _seeds(sweep)
    blocks: list[Block] = [Heading("Where the numbers come from")]
    blocks.append(Table("provenance", rows, "What the sweep wrote down about itself (sweep.json).", 400, shown))
    if not seeds.empty:
        blocks.append(Table("seeds", seeds, "The seed of every replicate, by the trials that used it.", rows=12))
    spec = sweep.info.get("spec")
    title = "The specification, with every default filled in."
    blocks.append(Code(_yaml(spec).rstrip(), title) if spec else Note("sweep.json holds no specification."))
    return blocks


def _short(value: Any) -> str:
    """One line for each entry of sweep.json: `python 3.11.7, torch 2.14.1, ...`."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {text or 'none'}" for key, text in _leaves(value))
    return f"{value:.1f}" if isinstance(value, float) else _leaves(value)[0][1]


def _seeds(sweep: Sweep) -> pd.DataFrame:
    if sweep.replicates.empty:
        return pd.DataFrame()
    grouped = sweep.replicates.groupby(["replicate", "seed"], as_index=False)
    return grouped.agg(trials=("trial", "count"), first_trial=("trial", "min"), last_trial=("trial", "max"))


def _leaves(value: Any, prefix: str = "") -> list[tuple[str, str]]:
    """Dotted leaves of a tree, a short list in one cell."""
    if isinstance(value, Mapping) and value:
        return [
            leaf for key, child in value.items() for leaf in _leaves(child, f"{prefix}.{key}" if prefix else str(key))
        ]
    if isinstance(value, list):
        plain = all(not isinstance(item, (list, Mapping)) for item in value)
        return [(prefix, " ".join(map(str, value)) if plain else json.dumps(value))]
    return [(prefix, "" if value is None else str(value))]


def _yaml(value: Any, depth: int = 0) -> str:
    """A tree as YAML. Scalars are written as JSON, which YAML reads; that keeps a YAML library out of the report."""
    pad = "  " * depth
    if isinstance(value, Mapping):
        lines = []
        for key, child in value.items():
            nested = isinstance(child, Mapping) and len(child) > 0
            text = f"\n{_yaml(child, depth + 1)}" if nested else f" {json.dumps(child, ensure_ascii=False)}\n"
            lines.append(f"{pad}{key}:{text}")
        return "".join(lines)
    return f"{pad}{json.dumps(value, ensure_ascii=False)}\n"
