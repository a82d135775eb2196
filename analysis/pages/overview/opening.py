"""The first screen: what the sweep was, what to beware of, and its curve beside which D, which estimator, which L."""

from __future__ import annotations

import pandas as pd

from analysis.document.blocks import Block, Figure, Findings, Opening
from analysis.pages.common import with_dimension
from analysis.pages.elbo_vs_dimension import curve
from analysis.pages.overview import answers, truth
from analysis.pages.trials.swept import RANGE, values_of
from analysis.pages.trials.time import duration
from analysis.statistics.answers import compared_factors
from analysis.statistics.headline import Headline, headline
from analysis.tables import Sweep
from analysis.tables.columns import BOUND, varying
from analysis.tables.kinds import KL_ESTIMATOR
from analysis.wording import count, listed

WHICH_D, WHICH_ESTIMATOR, WHICH_L = "Which D?", "Which KL estimator?", "Which L?"
MOST_SETTINGS = 4
"""Settings that the line of the sweep spells out."""


def blocks(sweep: Sweep) -> list[Block]:
    """The first screen, then the answers that are not on it."""
    chosen, variance = headline(sweep), with_dimension(sweep, "variance")
    factors = dict(zip(compared_factors(sweep), answers.factors(sweep, chosen), strict=True))
    asked = [
        (WHICH_D, answers.dimension(chosen)),
        (WHICH_ESTIMATOR, factors.pop(KL_ESTIMATOR, "")),
        (WHICH_L, answers.draws(sweep, variance)),
    ]
    shown = tuple((question, sentence) for question, sentence in asked if sentence)
    opening = Opening(line(sweep), tuple(truth.warnings(sweep)), _figure(sweep, chosen), shown)
    rest = [answers.best(sweep), *factors.values(), answers.slope(variance), answers.trust(sweep)]
    sentences = tuple(sentence for sentence in rest if sentence)
    return [opening, *([Findings(sentences)] if sentences else [])]


def _figure(sweep: Sweep, chosen: Headline) -> Figure | None:
    """The curve, where a trial has a bound."""
    measured = BOUND in chosen.replicates and bool(chosen.replicates[BOUND].notna().any())
    return curve.bound(sweep, chosen) if measured else None


def line(sweep: Sweep) -> str:
    """`12 trials of 3 seeds on digits: model.latent_dim 2 to 32; objective.num_samples 1, 4. 12 finished in 8 min.`"""
    trials = sweep.trials
    if trials.empty:
        return "The sweep has no trial yet."
    text = count(len(trials), "trial")
    seeds = sweep.replicates.groupby("trial").size() if "trial" in sweep.replicates else pd.Series(dtype=int)
    if len(seeds):
        few, many = int(seeds.min()), int(seeds.max())
        text += f" of {count(many, 'seed')}" if few == many else f" of {few} to {many} seeds"
    if "data.name" in trials:
        text += f" on {listed(sorted(map(str, trials['data.name'].unique())))}"
    varied = varying(trials)
    settings = [f"{name} {values_of(trials[name], RANGE)}" for name in varied[:MOST_SETTINGS]]
    if len(varied) > MOST_SETTINGS:
        settings.append(f"{count(len(varied) - MOST_SETTINGS, 'other setting')}")
    text += f": {'; '.join(settings)}." if settings else "; no setting was varied."
    ended = [f"{n} {status}" for status, n in trials["status"].value_counts().items()]
    seconds = sweep.info.get("seconds")
    took = f" in {duration(float(seconds))}" if isinstance(seconds, (int, float)) else ""
    return f"{text} {listed(ended)}{took}."
