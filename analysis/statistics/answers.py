"""The answers of a sweep as tables: what its best configuration reaches, which D, which factors matter, how much.

sweep = tables.load("runs/default")
chosen = headline(sweep)
best_bound(sweep)                                    # one row, free of the winner's curse
which_dimension(chosen)                              # probabilities of each D on each curve
factor_effects(sweep, chosen, "kl.estimator")        # differences, or the reason why there are none
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis import tables
from analysis.statistics.bounds import SCALES, comparable, judged_by, trained_on_iwae
from analysis.statistics.few_seeds.best_dimension import dimension_probabilities, sufficient_dimension
from analysis.statistics.few_seeds.effects import declared_factors, effects
from analysis.statistics.few_seeds.factor_shares import factor_shares
from analysis.statistics.few_seeds.winner import winner, winner_on_fresh_seeds
from analysis.statistics.headline import CELL, SETTING, Headline, headline, name_of
from analysis.tables import Sweep
from analysis.tables.columns import CONFIRM, DIMENSION, FACTORIAL, varying
from analysis.tables.kinds import KL_ESTIMATOR
from analysis.wording import count, label, listed

NORMAL = 1.96
"""Two-sided 95 % quantile, for the mean over hundreds of images."""


def best_bound(sweep: Sweep) -> pd.DataFrame:
    """The configuration with the best validation bound, and the test bound to expect of it on new seeds.

    The bound is what the trials were trained for (`judged_by`). Where trials differ in what their bounds are of, the
    best is that of the most frequent kind (`comparable`).

    Fresh seeds measure it where it was confirmed; otherwise each seed is left out of the choice in turn (`winner`).

    Returns:
        `winner`'s row with `model.latent_dim`, `name` (its settings in words), `image_error` (the standard error over
        the images of the split, NaN where it was not measured), `low_images` and `high_images` (the interval for new
        seeds and new images), `value` and `rank` (the columns), `among` (what the compared trials share, or "").
        Empty where no finished trial has both bounds.
    """
    (everything, among), judged = comparable(tables.joined(sweep)), judged_by(sweep)
    value, rank, _ = judged
    if everything.empty or not {value, rank} <= set(everything.columns):
        return pd.DataFrame()
    varied = [name for name in varying(everything) if name != DIMENSION]
    fresh = everything["phase"] == CONFIRM
    row = winner_on_fresh_seeds(everything, value, fresh=fresh, within=varied, choose_by=rank)
    if row.empty:
        row = winner(everything if fresh.all() else everything[~fresh], value, within=varied, choose_by=rank)
    if row.empty:
        return row
    rows = everything[everything["config_hash"] == row["config_hash"].iloc[0]]
    without = KL_ESTIMATOR if trained_on_iwae(sweep) else None
    shown = [name for name in (*CELL, *varied) if name in rows and name != without]
    first = {name: rows[name].iloc[0] for name in dict.fromkeys(shown)}
    of_images = f"{value}.standard_error"
    error = float(rows[of_images].mean()) if of_images in rows else np.nan
    half = np.sqrt(((row["high"] - row["low"]) / 2) ** 2 + (NORMAL * error) ** 2)
    return row.assign(
        **{DIMENSION: rows[DIMENSION].iloc[0], "name": name_of(first, set(varied)), "image_error": error},
        low_images=row["estimate"] - half,
        high_images=row["estimate"] + half,
        value=value,
        rank=rank,
        among=among,
    )


def which_dimension(chosen: Headline, value: str | None = None, tolerance: float | None = None) -> pd.DataFrame:
    """`dimension_probabilities` of the report's curves (of the bound that is reported, unless told); see there."""
    rows, value = chosen.replicates, value or chosen.judged.value
    if value not in rows or rows.empty:
        return pd.DataFrame()
    setting = None if chosen.unit else SETTING
    return dimension_probabilities(rows, value, within="series", setting=setting, tolerance=tolerance, unit=chosen.unit)


def best_curve(chosen: Headline) -> pd.Series:
    """`sufficient_dimension`'s row of the curve that holds `best_point`; empty where there is no curve."""
    probabilities = which_dimension(chosen)
    if probabilities.empty:
        return pd.Series(dtype=object)
    table = sufficient_dimension(probabilities, within="series")
    best: pd.Series = table[table["series"] == best_point(chosen)["series"]].iloc[0]
    return best


def best_point(chosen: Headline) -> pd.Series:
    """`model.latent_dim` and `series` of the curves' best point, by the column that configurations are chosen by.

    Every page that names a best chooses it so, and never by the test split alone, as long as there is another column.
    """
    rows = chosen.replicates[np.isfinite(chosen.replicates[chosen.judged.value])]
    rank = chosen.judged.rank
    rank = rank if rank in rows and np.isfinite(rows[rank]).any() else chosen.judged.value
    kept, _ = comparable(rows[np.isfinite(rows[rank])])
    means = kept.groupby([DIMENSION, "series"], as_index=False)[rank].mean()
    point: pd.Series = means.iloc[int(means[rank].to_numpy().argmax())]
    return point


def studied_dimension(sweep: Sweep, variance: pd.DataFrame) -> int:
    """The D that curves against L are drawn for: D* of the best curve, or the D with most replicates."""
    best = best_curve(headline(sweep))
    if len(best) and (variance[DIMENSION] == best["sufficient"]).any():
        return int(best["sufficient"])
    replicates = variance.drop_duplicates(["trial", "replicate"])[DIMENSION].value_counts()
    return int(max(replicates[replicates == replicates.max()].index))


def compared_factors(sweep: Sweep) -> list[str]:
    """The settings whose effect a reader asks for: the design's, and the KL estimator where it has a part."""
    declared = declared_factors(sweep.trials)
    if trained_on_iwae(sweep):  # no KL estimator has a part in it
        return [name for name in declared if name != KL_ESTIMATOR]
    return declared if KL_ESTIMATOR in declared or KL_ESTIMATOR not in sweep.trials else [KL_ESTIMATOR, *declared]


def factor_effects(
    sweep: Sweep, chosen: Headline, factor: str, margin: float | None = None
) -> tuple[pd.DataFrame, str | None]:
    """`effects` of a factor on the reported bound, or the reason why there are none."""
    empty, everything, value = pd.DataFrame(), pd.concat([chosen.replicates, chosen.passed]), chosen.judged.value
    what = "KL estimator" if factor == KL_ESTIMATOR else factor
    if value not in everything or factor not in everything or everything.empty:
        return empty, f"The influence of the {what} was not measured."
    if everything[factor].nunique() < 2:
        if sweep.trials[factor].nunique() > 1:
            return empty, (
                f"The sweep declared {count(sweep.trials[factor].nunique(), 'value')} of {factor}, but the trials that "
                "finished all have one of them: nothing to compare."
            )
        return empty, f"All trials use one {what}, so there is nothing to compare."
    if factor in SCALES:
        levels = listed([str(level) for level in sorted(everything[factor].dropna().unique())])
        return empty, (
            f"Bounds with {factor} {levels} are bounds of different things (other data, or a density beside a "
            "probability): their difference says nothing about which is better."
        )
    # A design crosses its factors: that is where they are compared, whatever the curve rests on.
    designed = everything[everything["phase"] == FACTORIAL]
    for rows in (chosen.replicates, designed):
        if rows[factor].nunique() > 1:
            table = effects(rows, value, factor, margin=margin)
            if not table.empty:
                return table, None
    trials = everything.drop_duplicates("trial")[factor].value_counts().sort_index()
    tried = listed([f"{label(name, factor)} in {count(int(number), 'trial')}" for name, number in trials.items()])
    return empty, (
        f"Whether the {what} matters, this sweep cannot say: it tried {tried}, but no two trials differ in the "
        f"{'estimator' if factor == KL_ESTIMATOR else 'setting'} alone, so a difference could as well come from the "
        f"other settings. As a factor (factors: {factor}) it would be compared seed by seed."
    )


def shares(sweep: Sweep, value: str | None = None) -> pd.DataFrame:
    """`factor_shares` of the designed trials; empty where the sweep has no design with two seeds a cell."""
    (everything, _), value = comparable(tables.joined(sweep)), value or judged_by(sweep).value
    designed = everything[everything["phase"] == FACTORIAL]
    if value not in designed or designed.empty:
        return pd.DataFrame()
    return factor_shares(designed, value, varying(designed))
