"""Every estimator against its exact value, where the answer is known."""

from __future__ import annotations

from functools import partial

import pandas as pd

from analysis import figures, statistics
from analysis.document.blocks import Block, Figure, Heading, Note, Panel, Table
from analysis.tables import Sweep
from analysis.tables.schema import calibration_limit
from analysis.wording import count

TITLES = ("Distance from the exact value", "continued")
MOST_ROWS = 30
"""Rows of one column of the figure."""


def blocks(sweep: Sweep) -> list[Block]:
    """How many standard errors each estimate is away, and the whole table."""
    heading = Heading("Every estimator against its exact value", folded=True)
    if sweep.calibration.empty:
        return [
            heading,
            Note("This sweep has no calibration table (calibration.parquet), so the estimators were not checked here."),
        ]
    frame = sweep.calibration.assign(name=sweep.calibration["estimator"] + ", " + sweep.calibration["quantity"])
    scored = frame[frame["z_score"].notna()]
    caption = (
        f"Each estimator on a problem whose answer is known. n = {count(len(frame), 'estimate')}; "
        f"one standard error is the estimate's own; the band is ±{calibration_limit():g}."
    )
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
    table = Table(
        "calibration", frame.drop(columns="name"), "Every estimate and its exact value.", 200, shown, folded=True
    )
    if scored.empty:
        return [heading, table]
    return [heading, Figure(_panels(scored), caption, _verdict(scored)), table]


def _panels(scored: pd.DataFrame) -> tuple[Panel, ...]:
    """Two columns of rows where one would be taller than a page."""
    limit = calibration_limit()
    reach = 1.1 * max(limit, float(scored["z_score"].abs().max()))
    half = -(-len(scored) // 2) if len(scored) > MOST_ROWS else len(scored)
    parts = [scored.iloc[start : start + half] for start in range(0, len(scored), half)]
    return tuple(
        Panel(
            "calibration" if place == 0 else f"calibration_{place + 1}",
            partial(figures.z_scores, frame=part, name="name", limit=limit, reach=reach, title=TITLES[place]),
            "Standardised errors of every estimator where the answer is known",
            (7.4, 0.8 + 0.19 * max(8, half)),
        )
        for place, part in enumerate(parts)
    )


def _signed(value: float, decimals: int = 1) -> str:
    """`+2.1`, `−0.3`."""
    return f"{value:+.{decimals}f}".replace("-", "−")


def _verdict(scored: pd.DataFrame) -> str:
    """Whether all estimates agree with their exact values; those that do not, by name."""
    limit = calibration_limit()
    off = scored[scored["z_score"].abs() > limit]
    if off.empty:
        worst = scored.iloc[int(scored["z_score"].abs().argmax())]
        table = statistics.calibration_summary(scored).iloc[0]
        return (
            f"All {count(len(scored), 'estimate')} agree with their exact values within {limit:g} standard errors; "
            f"the farthest is {worst['name']} at {_signed(worst['z_score'])}. Beyond 2 lie {table['beyond_2']:g}, "
            f"where chance alone would put {table['expected_beyond_2']:.1f}."
        )
    names = ", ".join(f"{row['name']} ({_signed(row['z_score'])})" for _, row in off.iterrows())
    return (
        f"{count(len(off), 'estimate')} of {len(scored)} lie beyond {limit:g} standard errors: "
        f"{names}. Do not trust them before this is understood."
    )
