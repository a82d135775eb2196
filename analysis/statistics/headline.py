"""Which replicates the curves of the report rest on, and which the search only passed on its way.

A sweep that confirmed the best configuration of each D is summarised by those fresh seeds alone. A designed sweep
(phase `factorial`) says for itself which configurations it compares: all of them are in the curve. A search visits
latent dimensions unevenly and picks winners; there, each point is the configuration with the best validation bound of
its cell, on fresh seeds where it was confirmed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis import tables
from analysis.statistics.bounds import ELBO, Judged, judged_by, trained_on_iwae
from analysis.statistics.few_seeds.pooled import pooled_means
from analysis.statistics.intervals import summarise
from analysis.statistics.selection import best_configurations
from analysis.tables.columns import CONFIRM, DIMENSION, FACTORIAL, REFINE
from analysis.tables.kinds import KL_ESTIMATOR
from analysis.wording import label

CELL = (KL_ESTIMATOR, "objective.num_samples")
"""Settings that get a curve each."""
MOST_SERIES = 10
"""Curves in one figure; where further settings would make more, they share the curves of `CELL`."""
SETTING = "setting"
"""Column of `Headline.replicates`: a number for everything but D that varies; a point of one configuration has one."""
EVEN = ("test.elbo", "test.iwae", "test.ais", "test.reconstruction", "test.kl", "test.bits_per_dim", "validation.")
"""Metrics, by how their names begin, whose seeds spread alike at each D: their variance is pooled over a curve. Active
units and gaps spread the more the larger they are, and keep their own."""
BEST = "best of each D"
"""Name of the only curve where each D has its own best configuration, whatever its estimator."""


@dataclass(frozen=True, eq=False)
class Headline:
    """The rows behind the curves.

    `replicates` and `passed` are replicates joined with their configuration; `replicates` has a text column `series`
    and a number `setting`.
    """

    replicates: pd.DataFrame
    passed: pd.DataFrame
    """Finished replicates that no curve rests on: trials of the search."""
    series: dict[str, tuple[object, ...]]
    """Name of each line -> its key (the KL estimator, then L and whatever else sets it apart)."""
    unit: str | None
    """What counts as independent within a point: None for replicates, "trial" where a point mixes configurations."""
    basis: str
    """One sentence for captions: what a point is."""
    judged: Judged = ELBO
    """The bound that is reported, and what configurations are chosen by."""

    @property
    def dimensions(self) -> list[int]:
        """The latent dimensions on the curves."""
        return sorted(int(d) for d in self.replicates[DIMENSION].unique())

    def means(self, value: str) -> pd.DataFrame:
        """Mean and 95 % interval of `value` for each D and series; empty where the sweep did not measure it.

        The seed variance of bounds is pooled over the dimensions of a series (`pooled_means`); `sd` is each cell's own,
        and `degrees` the degrees of freedom of the interval.
        """
        if value not in self.replicates.columns:
            return pd.DataFrame(columns=[DIMENSION, "series", "n", "mean", "low", "high"])
        keys = [DIMENSION, "series"]
        if not value.startswith(EVEN):
            table = summarise(self.replicates, value, keys, unit=self.unit)
            table = table.assign(sd=table["standard_error"] * table["n"] ** 0.5, degrees=(table["n"] - 1).astype(float))
        elif self.unit:
            table = pooled_means(self.replicates, value, keys, within="series", unit=self.unit)
        else:
            shared = ["series", SETTING]
            table = pooled_means(self.replicates, value, [*keys, SETTING], within=shared).drop(columns=SETTING)
        if value == "test.active_units":  # between 0 and D, which Student's t does not know
            table["low"] = table["low"].clip(lower=0.0)
            table["high"] = table["high"].clip(upper=table[DIMENSION].astype(float))
        return table.dropna(subset=["mean"])


def headline(sweep: tables.Sweep) -> Headline:
    """Choose the rows; every finished replicate is in `replicates` or in `passed`."""
    everything, judged = tables.joined(sweep), judged_by(sweep)
    by = label(judged.rank)
    designed = everything[everything["phase"] == FACTORIAL]
    chosen, basis = _best_of_each(everything, judged)
    single = chosen is not None
    if chosen is None and not designed.empty:
        chosen = everything["config_hash"].isin(set(designed["config_hash"]))
        chosen &= everything["phase"].isin([FACTORIAL, CONFIRM])
        basis = (
            "Points are the replicates of the designed trials, with their confirmation on fresh seeds "
            "where there was one."
        )
    elif chosen is None:
        chosen = _winners(everything, _cell(sweep, everything), judged)
        basis = (
            f"Each point is the configuration with the best {by} of its D, estimator and L, "
            "measured on fresh seeds "
            "where it was confirmed and otherwise on the seeds that chose it (biased upwards)."
        )
    settings = [name for name in tables.varying(everything) if name != DIMENSION]
    numbered = everything.assign(**{SETTING: 0})
    if settings:
        numbered[SETTING] = everything.groupby(settings, dropna=False).ngroup()
    kept = numbered[chosen]
    cell = _cell(sweep, everything)
    if single and len(kept[cell].drop_duplicates()) > 1:
        named = kept.assign(series=BEST)
        return Headline(named, everything[~chosen], {BEST: (BEST,)}, None, basis, judged)
    varied = tables.varying(kept) if not (designed.empty or single) else []
    further = [name for name in varied if name not in (*CELL, DIMENSION)]
    if kept.groupby([*cell, *further], dropna=False).ngroups > MOST_SERIES:
        further = []
    names = kept[[*cell, *further]].drop_duplicates().sort_values([*cell, *further])
    varies = {name for name in (*cell, *further) if names[name].nunique(dropna=False) > 1}
    series = {name_of(row, varies): tuple(row.values()) for row in names.to_dict("records")}
    named = kept.assign(series=[name_of(row, varies) for row in kept[[*cell, *further]].to_dict("records")])
    mixed = bool((named.groupby([DIMENSION, "series"])["config_hash"].nunique() > 1).any())
    if mixed:
        basis += " Where several configurations share a point, each trial counts once."
    return Headline(named, everything[~chosen], series, "trial" if mixed else None, basis, judged)


def _cell(sweep: tables.Sweep, everything: pd.DataFrame) -> list[str]:
    """The settings of `CELL` that play a part: in the IWAE bound no KL estimator does."""
    without = KL_ESTIMATOR if trained_on_iwae(sweep) else None
    return [name for name in CELL if name in everything.columns and name != without]


def _best_of_each(everything: pd.DataFrame, judged: Judged) -> tuple[pd.Series | None, str]:
    """Rows of a sweep that says itself which configuration stands for each D: it confirmed it, or refined its curve."""
    confirm, refine = everything["phase"] == CONFIRM, everything["phase"] == REFINE
    explored = set(everything.loc[~confirm, DIMENSION])
    if confirm.any() and set(everything.loc[confirm, DIMENSION]) == explored:
        return confirm, (
            f"Each point is the best configuration of its D by {label(judged.rank)}, trained again with fresh seeds: "
            "free of the winner's curse."
        )
    if refine.any():
        return _winners(everything, [], judged), (
            f"Each point is the best configuration of its D by {label(judged.rank)}, measured on the seeds that chose "
            "it (biased upwards where several were tried)."
        )
    return None, ""


def _winners(replicates: pd.DataFrame, cell: list[str], judged: Judged) -> pd.Series:
    """Rows of the best configuration of each D and cell: those of `confirm` where it has any."""
    ranked = {judged.value, judged.rank} <= set(replicates.columns)
    if replicates.empty or not ranked:
        return pd.Series(False, index=replicates.index)
    best = best_configurations(replicates, judged.value, rank_by=judged.rank, per=[DIMENSION, *cell], count=1)
    confirmed = set(best.loc[best["confirmed"], "config_hash"])
    is_confirm = replicates["phase"] == CONFIRM
    fresh = replicates["config_hash"].isin(confirmed) & is_confirm
    same = replicates["config_hash"].isin(set(best["config_hash"]) - confirmed) & ~is_confirm
    return fresh | same


def name_of(row: Mapping[Any, Any], varies: set[str]) -> str:
    """`closed form, L = 4`; further settings by their own key."""
    parts = [label(row[KL_ESTIMATOR], KL_ESTIMATOR)] if KL_ESTIMATOR in row else []
    if "objective.num_samples" in row and ("objective.num_samples" in varies or not parts):
        parts.append(f"L = {row['objective.num_samples']:g}")
    others = {key: value for key, value in row.items() if key not in CELL and key in varies and pd.notna(value)}
    parts += [f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}" for key, value in others.items()]
    return ", ".join(parts)
