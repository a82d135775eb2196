"""Sentences on the effect of a factor, each computed from the rows of `effects`."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.statistics.comparisons import LEVEL
from analysis.statistics.few_seeds.effects import EQUIVALENT, FIRST, OVERALL, UNKNOWN
from analysis.tables.columns import DIMENSION, unit_of
from analysis.tables.kinds import KL_ESTIMATOR
from analysis.wording import count, figure, interval, label, listed

MOST_PAIRS = 2
"""Pairs of levels that get a sentence each whatever it says."""


def effect_sentence(table: pd.DataFrame, value: str) -> str:
    """What a factor does, over all dimensions first; then at how many, and where that is clearest.

    Args:
        table: `effects`' rows of one factor.
        value: Column that was compared.

    Returns:
        One sentence for each pair of levels; of more than two pairs, those that are told apart, and one sentence on the
        rest that names the clearest of them.
    """
    if table.empty:
        return "No two levels share a seed and all other settings, so there is nothing to compare."
    overall = table[table["scope"] == OVERALL]
    unknown = overall[overall["verdict"] == UNKNOWN]
    many = len(overall) > MOST_PAIRS and len(unknown) > 1 and unknown["p_value"].notna().all()
    said = []
    for _, row in overall.iterrows():
        each = table[(table["second"] == row["second"]) & (table["scope"] != OVERALL)]
        if not (many and row["verdict"] == UNKNOWN):
            said.append(f"{_overall(row, value)}{_clearest(each)}.")
    return " ".join([*said, _together(unknown, value)] if many else said)


def _together(unknown: pd.DataFrame, value: str) -> str:
    """What cannot be told apart yet in one sentence, with the clearest difference: the one with the least p-value."""
    top = unknown.iloc[int(unknown["p_value"].to_numpy().argmin())]
    first, second = (level_name(top[side], top["factor"]) for side in ("first", "second"))
    others = listed([level_name(level, top["factor"]) for level in unknown["second"]])
    numbers = interval(top["difference"], top["low"], top["high"], unit_of(value))
    return (
        f"These data cannot tell {first} from {others} yet; clearest is {second}: {label(value)} differs by {numbers} "
        f"(n = {count(int(top['n']), 'seed')}, Holm-adjusted p = {top['p_holm']:.2g})."
    )


def level_name(level: object, factor: str) -> str:
    """`closed form`; for a number its own key too: `objective.num_samples 4`."""
    return label(level, factor) if factor == KL_ESTIMATOR or isinstance(level, str) else f"{factor} {level:g}"


def _overall(row: pd.Series, value: str) -> str:
    """The verdict over all dimensions, with its numbers."""
    first, second = (level_name(row[side], row["factor"]) for side in ("first", "second"))
    unit, n = unit_of(value), int(row["n"])
    place = "over all D" if np.isnan(row[DIMENSION]) else f"at D = {row[DIMENSION]:g}"
    if n == 1:
        only = f"{figure(row['difference'], 3)} {unit}"
        return f"{first} minus {second} is {only} {place} on the only seed: one seed cannot tell them apart"
    numbers = f"{interval(row['difference'], row['low'], row['high'], unit)} {place} (n = {count(n, 'seed')}, "
    numbers += f"p = {row['p_holm']:.2g})"
    margin = f"{figure(row['margin'], 2)} {unit}"
    if row["verdict"] == EQUIVALENT:
        return f"Between {first} and {second} there is no difference in {label(value)} larger than {margin}: {numbers}"
    if row["verdict"] == UNKNOWN:
        return (
            f"These data cannot tell {first} from {second} yet: {label(value)} differs by {numbers}; {_more(row, unit)}"
        )
    side = "better" if row["verdict"] == FIRST else "worse"
    return f"{first} is {side} than {second}: {label(value)} differs by {numbers}"


def _more(row: pd.Series, unit: str) -> str:
    """How many seeds would tell."""
    if np.isnan(row["seeds_needed"]):
        return f"how many seeds would tell cannot be known from {int(row['n'])}"
    if np.isinf(row["seeds_needed"]):
        return f"no number of seeds within reach would find {figure(row['margin'], 2)} {unit}"
    more = int(max(row["seeds_needed"] - row["n"], 0))
    if more == 0:
        return f"a difference of {figure(row['margin'], 2)} {unit} would most likely have been seen"
    return f"{count(more, 'more seed')} would find a difference of {figure(row['margin'], 2)} {unit}"


def _clearest(each: pd.DataFrame) -> str:
    """At how many dimensions the levels are told apart, and the clearest of them."""
    judged = each[each["p_holm"].notna()]
    if judged.empty:
        return ""
    apart = judged[judged["p_holm"] < LEVEL]
    top = judged.iloc[int(judged["p_value"].to_numpy().argmin())]
    size = f"{interval(top['difference'], top['low'], top['high'])} (Holm-adjusted p = {top['p_holm']:.2g})"
    told = "at none" if apart.empty else f"at {len(apart)}"
    return f"; D by D they are told apart {told} of {len(judged)}, clearest at D = {top[DIMENSION]:g}: {size}"
