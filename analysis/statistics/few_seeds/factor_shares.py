"""How much of the variation goes with each factor of a design: analysis of variance with the replicates' error.

    factor_shares(designed, "test.elbo", ["model.latent_dim", "kl.estimator"])
    # source, degrees, sum_of_squares, f, p_value, share, low, high

Trials of a search are not crossed and take no part: what a search visited says where it looked, not what matters.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import optimize, stats

from analysis.statistics.intervals import CONFIDENCE, Floats

INTERACTIONS, SEEDS = "interactions", "seeds"
ROUNDING = 1e-20
"""Sums of squares below this share of the values' own are zero but for rounding."""
COLUMNS = ["source", "degrees", "sum_of_squares", "f", "p_value", "share", "low", "high"]


def factor_shares(
    frame: pd.DataFrame, value: str, factors: Sequence[str], *, confidence: float = CONFIDENCE
) -> pd.DataFrame:
    """Eta squared of each factor: the share of the variation of `value` that its main effect explains.

    Sums of squares are of type II (each main effect beside all others), which in a complete design add up; what the
    cells' means show beyond main effects is one row of interactions, and the error is the spread of the seeds within
    the cells. Shares are of the sum of these rows: where a design lacks cells, what its factors explain together and no
    one of them alone is nobody's. The interval inverts the noncentral F distribution (Steiger 2004): the share that the
    design's population would have, lambda / (lambda + the other effects' lambda + N).

    Args:
        frame: One row per replicate of the design.
        value: Column to explain; rows that are not finite are left out.
        factors: Configuration columns; those with one level are left out.
        confidence: Level of the intervals.

    Returns:
        One row per factor, by falling share, then `interactions` and `seeds` (the error): `source`, `degrees`,
        `sum_of_squares`, `f`, `p_value`, `share`, `low`, `high` (NaN for the seeds). Empty where no cell has two seeds,
        no factor has two levels, or all values are equal.
    """
    frame = frame[np.isfinite(frame[value].to_numpy(float))]
    used = [name for name in factors if frame[name].nunique() > 1]
    y = frame[value].to_numpy(float)
    cells = frame.groupby(used, dropna=False).ngroup().to_numpy() if used and len(frame) else np.zeros(0, dtype=int)
    error_degrees = len(y) - len(np.unique(cells))
    total = float(np.sum((y - y.mean()) ** 2)) if len(y) else 0.0
    if not used or error_degrees < 1 or total <= ROUNDING * float(np.sum(y**2)):
        return pd.DataFrame(columns=COLUMNS)
    dummies = {name: pd.get_dummies(frame[name], drop_first=True).to_numpy(float) for name in used}
    within = _residual(y, np.eye(cells.max() + 1)[cells])[0]
    additive, rank = _residual(y, _columns(dummies, used))
    rows = []
    for name in used:
        without, smaller = _residual(y, _columns(dummies, [other for other in used if other != name]))
        rows.append((name, rank - smaller, without - additive))
    rows.sort(key=lambda row: -row[2])
    cell_degrees = len(np.unique(cells)) - rank
    if cell_degrees > 0:
        rows.append((INTERACTIONS, cell_degrees, additive - within))
    table = pd.DataFrame(rows, columns=["source", "degrees", "sum_of_squares"])
    return _shares(table, within, error_degrees, len(y), confidence)


def _columns(dummies: dict[str, Floats], names: list[str]) -> Floats:
    """The design matrix of an intercept and the main effects of `names`."""
    rows = len(next(iter(dummies.values())))
    return np.column_stack([np.ones(rows), *(dummies[name] for name in names)])


def _residual(y: Floats, design: Floats) -> tuple[float, int]:
    """(sum of squares that a linear model leaves, its rank)."""
    coefficients, _, rank, _ = np.linalg.lstsq(design, y, rcond=None)
    return float(np.sum((y - design @ coefficients) ** 2)), int(rank)


def _shares(table: pd.DataFrame, within: float, error_degrees: int, n: int, confidence: float) -> pd.DataFrame:
    """F, p, share and interval of each source, and the row of the seeds."""
    error = within / error_degrees
    table = table.assign(sum_of_squares=table["sum_of_squares"].clip(lower=0.0))
    total = float(table["sum_of_squares"].sum()) + within
    degrees = table["degrees"].to_numpy(float)
    mean_squares = table["sum_of_squares"].to_numpy() / degrees
    table["f"] = mean_squares / error if error > 0 else np.inf
    table["p_value"] = stats.f.sf(table["f"], degrees, error_degrees)
    table["share"] = table["sum_of_squares"] / total
    effects = np.maximum(degrees * (table["f"].to_numpy() - 1.0), 0.0)
    limits = []
    for i, f in enumerate(table["f"]):
        others = effects.sum() - effects[i] + n
        low, high = _noncentrality(float(f), degrees[i], error_degrees, confidence)
        limits.append((low / (low + others), high / (high + others)))
    table[["low", "high"]] = limits
    seeds = {"source": SEEDS, "degrees": error_degrees, "sum_of_squares": within, "share": within / total}
    return pd.concat([table, pd.DataFrame([seeds])], ignore_index=True)[COLUMNS]


def _noncentrality(f: float, degrees: float, error_degrees: float, confidence: float) -> tuple[float, float]:
    """The noncentralities under which F is at its upper and at its lower limit; 0 where none is."""
    if not np.isfinite(f):
        return np.nan, np.nan
    tail, limits = (1.0 - confidence) / 2, []
    for probability in (1.0 - tail, tail):

        def off(noncentrality: float, probability: float = probability) -> float:
            return float(stats.ncf.cdf(f, degrees, error_degrees, noncentrality)) - probability

        if off(1e-9) <= 0.0:
            limits.append(0.0)
            continue
        top = max(10.0, 4.0 * f * degrees)
        while off(top) > 0.0 and top < 1e7:
            top *= 2.0
        limits.append(float(optimize.brentq(off, 1e-9, top)) if off(top) <= 0.0 else np.nan)
    return limits[0], limits[1]
