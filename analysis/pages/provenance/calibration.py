"""Every estimator against its exact value, where the answer is known."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd

from analysis import figures, statistics
from analysis.document.blocks import Block, Figure, Heading, Note, Panel, Table
from analysis.statistics.draws.calibration import BY_ERROR, BY_ULPS, compared, is_off, one_seed_power, quantiles
from analysis.tables import Sweep
from analysis.tables.schema import calibration_limit
from analysis.wording import count, listed

TITLES = ("Distance from the exact value", "continued")
MOST_ROWS = 30
"""Rows of one column of the figure."""


def blocks(sweep: Sweep) -> list[Block]:
    """The joint tests over many seeds and the worst rows, then the quick seed of this sweep, row by row."""
    heading = Heading("Every estimator against its exact value", folded=True)
    if sweep.calibration.empty and sweep.calibration_seeds.empty:
        return [
            heading,
            Note("This sweep has no calibration table (calibration.parquet), so the estimators were not checked here."),
        ]
    return [heading, *_over_seeds(sweep), *_quick(sweep.calibration)]


def _over_seeds(sweep: Sweep) -> list[Block]:
    """A QQ plot of the shipped seeds and of the sweep's own, the joint tests, and the five worst rows."""
    seeds, own = sweep.calibration_seeds, sweep.calibration
    tests = statistics.calibration_tests(seeds)
    if tests.empty:
        return []
    row = tests.iloc[0]
    frames = {f"{row['seeds']:g} shipped seeds": quantiles(seeds.loc[seeds["compared"] == BY_ERROR, "z_score"])}
    if len(own):
        frames["the seed of this sweep"] = quantiles(own.loc[compared(own) == BY_ERROR, "z_score"])
    title = "z scores beside the normal"
    panel = Panel(
        "calibration_quantiles",
        partial(figures.quantiles, frames=frames, title=title),
        "Quantiles of the z scores against those of a standard normal",
        (4.9, 4.2),
    )
    rows = statistics.calibration_rows(seeds)
    caption = (
        f"n = {row['rows']:g} estimates that draw, {count(int(row['seeds']), 'seed')} each, computed once for the "
        f"version of elbosweep that ran the sweep. KS distance from the normal {row['ks']:.3f} "
        f"(p = {row['p_ks']:.2f}); mean square of the rows' scores {row['spread_of_means']:.2f} "
        f"(p = {row['p_means']:.2f}); both p by simulation, since rows share draws. A row that is one standard error "
        f"off would be found with probability {row['power']:.2f}; one seed finds it with {one_seed_power(1.0):.0e}."
    )
    return [Figure((panel,), caption, _joint(rows)), _worst(rows, own)]


def _joint(rows: pd.DataFrame) -> str:
    """Whether any row is off over the seeds."""
    off, sure = rows[rows["off"]], rows["compared"] == BY_ULPS
    if off.empty:
        agree = "agrees" if sure.sum() == 1 else "agree"
        exact = f"; {count(int(sure.sum()), 'deterministic one')} {agree} to rounding" if sure.any() else ""
        worst = rows.iloc[0]
        return (
            f"Over {count(int(rows['n'].max()), 'seed')}, no estimate is off on average: the farthest of "
            f"{int(rows['score'].notna().sum())} is {worst['estimator']}, {worst['quantity']}, whose mean lies "
            f"{_signed(worst['score'])} of its standard errors away (limit {worst['limit']:.1f}){exact}."
        )
    names = listed([f"{row['estimator']}, {row['quantity']}" for _, row in off.iterrows()])
    return (
        f"Over {count(int(rows['n'].max()), 'seed')}, {names} {'is' if len(off) == 1 else 'are'} off: do not trust it."
    )


def _worst(rows: pd.DataFrame, own: pd.DataFrame) -> Table:
    """The five rows that lie farthest, with what the sweep's own seed says of them; the file holds all."""
    five = rows.head(5)
    one = own.drop_duplicates(["estimator", "quantity"]).set_index(["estimator", "quantity"])["z_score"]
    scores = [one.get((e, q), np.nan) for e, q in five[["estimator", "quantity"]].itertuples(index=False)]
    shown = pd.DataFrame(
        {
            "estimator": five["estimator"],
            "quantity": five["quantity"],
            "seeds": five["n"],
            "mean z": [_signed(value, 2) for value in five["mean"]],
            "in its standard errors": [_signed(value, 2) for value in five["score"]],
            "p": [f"{value:.2g}" for value in five["p"]],
            "z of this sweep's seed": [_signed(value, 2) if np.isfinite(value) else "–" for value in scores],
            "off": ["yes" if value else "no" for value in five["off"]],
        }
    )
    caption = f"The five worst of {count(len(rows), 'row')}, by the mean over the seeds."
    return Table("calibration_rows", rows, caption, rows=5, shown=shown)


def _quick(calibration: pd.DataFrame) -> list[Block]:
    """How many standard errors each estimate of the sweep's own seed is away, and the whole table."""
    if calibration.empty:
        return []
    frame = calibration.assign(name=calibration["estimator"] + ", " + calibration["quantity"])
    scored = frame[frame["z_score"].notna()]
    caption = (
        f"Each estimator on a problem whose answer is known, one seed, on the machine of the sweep. n = "
        f"{count(len(frame), 'estimate')}; "
        f"one standard error is the estimate's own; the band is ±{calibration_limit():g}. What is deterministic has "
        "none, and stands in the table in units in the last place (ulp)."
    )
    ulps = frame["ulps"].astype(float) if "ulps" in frame else pd.Series(np.nan, index=frame.index)
    shown = pd.DataFrame(
        {
            "estimator": frame["estimator"],
            "quantity": frame["quantity"],
            "value": frame["value"],
            "exact": frame["exact"],
            "compared by": compared(frame),
            "standard error": [f"{value:.2g}" if np.isfinite(value) else "–" for value in frame["standard_error"]],
            "z": [_signed(value, 2) if np.isfinite(value) else "–" for value in frame["z_score"]],
            "ulp": [f"{value:.3g}" if np.isfinite(value) else "–" for value in ulps],
            "draws": frame["num_draws"],
        }
    )
    table = Table(
        "calibration", frame.drop(columns="name"), "Every estimate and its exact value.", 200, shown, folded=True
    )
    if scored.empty:
        return [table]
    return [Figure(_panels(scored), caption, _verdict(frame)), table]


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


def _verdict(frame: pd.DataFrame) -> str:
    """Whether all estimates agree with their exact values; those that do not, by name."""
    limit = calibration_limit()
    off, scored = frame[is_off(frame)], frame[frame["z_score"].notna()]
    if off.empty:
        worst = scored.iloc[int(scored["z_score"].abs().argmax())]
        table = statistics.calibration_summary(frame).iloc[0]
        exact = f", {int(table['deterministic'])} of them to rounding" if table["deterministic"] else ""
        return (
            f"All {count(int(table['n']), 'estimate')} agree with their exact values within {limit:g} standard "
            f"errors{exact}; "
            f"the farthest is {worst['name']} at {_signed(worst['z_score'])}. Beyond 2 lie {table['beyond_2']:g}, "
            f"where chance alone would put {table['expected_beyond_2']:.1f}."
        )
    names = ", ".join(f"{row['name']} ({_distance(row)})" for _, row in off.iterrows())
    return (
        f"{count(len(off), 'estimate')} of {len(frame)} {'lies' if len(off) == 1 else 'lie'} beyond {limit:g} standard "
        f"errors, or beyond rounding: {names}. Do not trust them before this is understood."
    )


def _distance(row: pd.Series) -> str:
    """How far an estimate is off: `+9.5`, or `1e+06 ulp`."""
    if np.isfinite(row["z_score"]):
        return _signed(row["z_score"])
    return f"{row['ulps']:.3g} ulp"
