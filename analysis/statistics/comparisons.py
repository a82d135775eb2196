"""Paired comparisons: same seeds, one factor changed, all else equal; Holm's correction, verdicts in sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from analysis.statistics.intervals import CONFIDENCE, By, Floats, as_list, summarise
from analysis.tables.columns import DIMENSION, unit_of, varying
from analysis.wording import figure, interval, label

CLOSED_FORM = "closed_form"
"""The KL estimator without noise: what the others are compared with."""
LEVEL = 0.05
"""Of the tests: a difference counts as seen where Holm's adjusted p is below."""
COLUMNS = ["factor", "first", "second", "n", "pairs", "first_mean", "second_mean", "difference", "standard_error"]
COLUMNS += ["low", "high", "p_value", "p_holm", "comparisons", "verdict"]


def paired_differences(
    frame: pd.DataFrame,
    value: str,
    factor: str,
    *,
    reference: str | int | float | None = None,
    by: By = (DIMENSION,),
    unit: By = (),
    measure: str | None = None,
    confidence: float = CONFIDENCE,
) -> pd.DataFrame:
    """Differences between a factor's levels, `reference - other`, on the same seeds with all else equal.

    Pairs agree in every configuration column that varies, in `by`, and in the seed. What a seed contributes to both
    sides cancels; rows without a partner are not used. The independent unit is the seed: where a group holds several
    pairs of one seed (several L, say), they are averaged first and count once.

    >>> frame = pd.DataFrame({"kl.estimator": ["closed_form", "monte_carlo"] * 3, "seed": [0, 0, 1, 1, 2, 2]})
    >>> frame["test.elbo"] = [-99.0, -99.5, -103.0, -103.6, -98.0, -98.7]
    >>> table = paired_differences(frame, "test.elbo", "kl.estimator", by=())
    >>> table[["first", "second", "n", "difference", "low", "high", "p_holm"]].round(3)
             first       second  n  difference    low   high  p_holm
    0  closed_form  monte_carlo  3         0.6  0.352  0.848   0.009

    Args:
        frame: Replicates joined with their configuration (`tables.joined`).
        value: Column to compare.
        factor: Configuration column whose levels are compared, for example `kl.estimator`.
        reference: The level that the others are compared with; default `closed_form` if there, else the first in order.
        by: Columns that get a comparison each; () for one over everything.
        unit: Further columns of the independent unit beside the seed: `unit="model.latent_dim"` takes one seed at two
            dimensions as independent.
        measure: Unit of `value` for the sentences (None: from its name).
        confidence: Level of the interval of each single difference.

    Returns:
        Columns `by`, `factor`, `first`, `second`, `n` (units), `pairs`, `first_mean`, `second_mean`, `difference`,
        `standard_error`, `low`, `high` (for each difference alone), `p_value` (two-sided paired t), `p_holm` (over all
        rows of this frame), `comparisons` (how many), `verdict`. Empty if the factor has one level.
    """
    keys, seed = as_list(by), [name for name in ("seed", "replicate") if name in frame.columns]
    matched = [name for name in varying(frame) if name != factor and name not in keys]
    usable = frame[np.isfinite(frame[value].to_numpy(float))]
    wanted = [*keys, *matched, *seed]
    cells = usable.groupby([*wanted, factor], dropna=False)[value].mean().reset_index()
    levels = sorted(cells[factor].unique())
    if len(levels) < 2:
        return pd.DataFrame(columns=[*keys, *COLUMNS])
    first = _reference(levels, factor, reference)
    units = list(dict.fromkeys([*keys, *seed, *as_list(unit)]))
    tables = []
    for other in [level for level in levels if level != first]:
        sides = [cells[cells[factor] == level].drop(columns=factor) for level in (first, other)]
        pairs = sides[0].merge(sides[1], on=wanted, suffixes=("_first", "_second"))
        tables.append(_contrast(pairs, value, keys, units, confidence).assign(first=first, second=other))
    table = pd.concat(tables, ignore_index=True)
    table = table.sort_values([*keys, "second"], kind="stable", ignore_index=True).assign(factor=factor)
    table["p_value"] = student_p_value(table["difference"], table["standard_error"], table["n"] - 1)
    table["p_holm"] = holm(table["p_value"].to_numpy(float))
    table["comparisons"] = int(table["p_value"].notna().sum())
    table["verdict"] = [verdict(row, value, measure) for row in table.to_dict("records")]
    return table[[*keys, *COLUMNS]]


def _reference(levels: Sequence[Any], factor: str, wanted: Any) -> Any:
    """The level that the others are compared with.

    Raises:
        ValueError: `wanted` is not among the levels.
    """
    exact = CLOSED_FORM if CLOSED_FORM in levels else levels[0]
    first = exact if wanted is None else wanted
    if first not in levels:
        raise ValueError(f"reference must be one of {factor}: {', '.join(map(str, levels))}, got {first!r}")
    return first


def _contrast(pairs: pd.DataFrame, value: str, keys: list[str], units: list[str], confidence: float) -> pd.DataFrame:
    """Mean difference of two levels per group, over independent units, from their pairs."""
    pairs["difference"] = pairs[f"{value}_first"] - pairs[f"{value}_second"]
    pairs = pairs.rename(columns={f"{value}_first": "first_mean", f"{value}_second": "second_mean"})
    per_unit = pairs.groupby(units, dropna=False)[["difference", "first_mean", "second_mean"]].mean().reset_index()
    table = summarise(per_unit, "difference", keys, confidence=confidence).drop(columns="missing")
    for side in ("first_mean", "second_mean"):
        table[side] = summarise(per_unit, side, keys)["mean"]
    counts = pairs.groupby(keys, dropna=False).size().to_numpy() if keys else len(pairs)
    return table.rename(columns={"mean": "difference"}).assign(pairs=counts)


def student_p_value(difference: Any, standard_error: Any, degrees: Any) -> Floats:
    """Two-sided p of a paired t-test: 1 where all pairs are equal, 0 where all differ by one amount, NaN for n = 1."""
    difference, error = np.asarray(difference, dtype=float), np.asarray(standard_error, dtype=float)
    degrees = np.asarray(degrees, dtype=float)
    judged = np.isfinite(error) & (degrees >= 1)
    ratio = np.divide(np.abs(difference), error, out=np.where(difference == 0, 0.0, np.inf), where=error > 0)
    return np.where(judged, 2.0 * stats.t.sf(ratio, np.where(judged, degrees, 1.0)), np.nan)


def holm(p_values: Floats) -> Floats:
    """Holm's step-down adjustment (Holm 1979); NaN are not counted and stay NaN.

    >>> holm(np.array([0.01, 0.04, 0.03])).tolist()
    [0.03, 0.06, 0.06]
    """
    p_values = np.asarray(p_values, dtype=float)
    adjusted = np.full(len(p_values), np.nan)
    order = np.argsort(p_values)[: int(np.isfinite(p_values).sum())]
    factors = len(order) - np.arange(len(order))
    adjusted[order] = np.minimum(np.maximum.accumulate(p_values[order] * factors), 1.0)
    return adjusted


def verdict(row: Mapping[Any, Any], value: str, measure: str | None = None, level: float = LEVEL) -> str:
    """Whether the data can tell the two levels apart, in one sentence that is computed from the numbers."""
    measure = unit_of(value) if measure is None else measure
    first, second, n = label(row["first"], row["factor"]), label(row["second"], row["factor"]), int(row["n"])
    if n == 0:
        return f"{first} and {second} share no seed: no paired comparison is possible."
    if n == 1:
        only = f"{figure(row['difference'], 3)} {measure}"
        return f"{first} minus {second} is {only} on the only pair: one pair cannot tell them apart."
    numbers = (
        f"{interval(row['difference'], row['low'], row['high'], measure)} (95 % interval, unadjusted, n = {n} seeds)"
    )
    if row["p_holm"] < level:
        side = "higher" if row["difference"] > 0 else "lower"
        return f"{first} has the {side} {label(value)}: {numbers}, Holm-adjusted p = {row['p_holm']:.2g}."
    judged = f"{label(value)} differs by {numbers}, Holm-adjusted p = {row['p_holm']:.2g}."
    return f"These data cannot tell {first} from {second}: {judged}"
