"""The answers of the sweep in a few sentences, each computed from its tables; the report opens with them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis import statistics
from analysis.pages.common import (
    gains_by_dimension,
    shared_draws,
    slope_text,
    sufficient,
    with_dimension,
)
from analysis.statistics import answers, planning
from analysis.statistics.draws.streams import sharing
from analysis.statistics.few_seeds.verdicts import effect_sentence
from analysis.statistics.few_seeds.winner import FRESH, ONLY
from analysis.statistics.headline import Headline
from analysis.tables import Sweep
from analysis.tables.columns import DIMENSION, FINISHED
from analysis.tables.schema import calibration_limit
from analysis.wording import count, figure, interval, label

NEGLIGIBLE = 0.1
"""Share of the variance between replicates below which the draws' own part is not worth paying for."""


MOST_LIKELY = 3
"""Dimensions that are named; the rest share what is left."""
LIKELY = 0.05
"""A dimension is named where it is best with at least this probability."""


def best(sweep: Sweep) -> str:
    """What the best configuration reaches on seeds that had no say in the choice."""
    table = answers.best_bound(sweep)
    if table.empty:
        return ""
    row = table.iloc[0]
    bound = label(row["value"]) + (f" among trials with {row['among']}" if row["among"] else "")
    place = f"D = {row[DIMENSION]:g}" + (f" ({row['name']})" if row["name"] else "")
    if not np.isfinite(row["estimate"]):
        value = figure(row["chosen_mean"])
        return f"The best {bound} is {value} nats per image, at {place}, without an interval ({row['note']})."
    value = interval(row["estimate"], row["low"], row["high"])
    return f"The best {bound} is {value} nats per image, at {place}, {_basis(row)}.{_images(row, sweep)}"


def _basis(row: pd.Series) -> str:
    """Which seeds a headline rests on, and how sure the choice is."""
    n = int(row["readings"])
    if row["basis"] == FRESH:
        return f"on {count(n, 'fresh seed')} of the best of {count(int(row['candidates']), 'configuration')}"
    if row["basis"] == ONLY:
        return f"of the only configuration (n = {count(n, 'seed')})"
    text = f"with each of {count(n, 'seed')} left out of the choice in turn"
    if row["optimism"] > 0.005:
        text += f" (its own mean, {figure(row['chosen_mean'])}, is {row['optimism']:.2f} nats too good)"
    if np.isfinite(row["probability_not_best"]):
        others = count(int(row["candidates"]) - 1, "other configuration")
        text += f"; one of the {others} is really better with probability {row['probability_not_best']:.2f}"
    return text


def _images(row: pd.Series, sweep: Sweep) -> str:
    """The second interval, for images that the split does not hold."""
    if not (np.isfinite(row["image_error"]) and np.isfinite(row["low_images"])):
        return ""
    images = (sweep.info.get("data") or {}).get("test")
    split = f"these {images:,} images" if isinstance(images, int) else "these images"
    both = interval(row["estimate"], row["low_images"], row["high_images"])
    return f" That is for new seeds on {split}; for new images as well, {both}."


def dimension(chosen: Headline) -> str:
    """The probability that each D is best, and the smallest that is good enough."""
    probabilities = answers.which_dimension(chosen)
    if probabilities.empty:
        return ""
    row = answers.best_curve(chosen)
    name = f" ({row['series']})" if len(chosen.series) > 1 else ""
    if row["dimensions"] == 1:
        if len(chosen.dimensions) > 1:
            return f"Which dimension is best cannot be said: the best curve{name} has one."
        return f"All trials have D = {chosen.dimensions[0]}: whether another is better, this sweep cannot say."
    if not np.isfinite(row["sufficient"]):
        return f"Which dimension is best cannot be said{name}; {row['note']}."
    rows = probabilities[probabilities["series"] == row["series"]].sort_values("probability_best", ascending=False)
    rows = rows[rows["probability_best"] >= LIKELY].head(MOST_LIKELY)
    left = 1.0 - float(rows["probability_best"].sum())
    likely = [f"D = {d:g} with probability {p:.2f}" for d, p in rows[[DIMENSION, "probability_best"]].to_numpy(float)]
    likely += [f"another with {left:.2f}"] if left >= LIKELY else []
    return f"The best latent dimension{name} is {' or '.join(likely)}; {sufficient(row)}."


def factors(sweep: Sweep, chosen: Headline) -> list[str]:
    """A sentence for each factor: whether its levels differ."""
    said = []
    for factor in answers.compared_factors(sweep):
        table, reason = answers.factor_effects(sweep, chosen, factor)
        text = effect_sentence(table, chosen.judged.value) if reason is None else reason
        said.append(text[:1].upper() + text[1:])
    return said


def slope(variance: pd.DataFrame) -> str:
    """How the variance falls with L, for i.i.d. and for scrambled Sobol draws."""
    rows = variance[variance["quantity"] == "elbo_monte_carlo"]
    slopes = statistics.variance_slopes(rows).dropna(subset=["slope", "low"])
    schemes = {row["sampling"]: row for _, row in slopes.iterrows()}
    if "iid" not in schemes:
        return ""
    iid = schemes["iid"]
    holds = "as independent draws must" if iid["contains_expected"] else "where independent draws must show −1"
    text = f"The variance of the Monte Carlo ELBO falls as L to the power {slope_text(iid)}, {holds}"
    trials, _, shared = sharing(rows)
    n = int(iid["n"])
    drawn = f"{count(n, 'seed')} of draws, which {count(trials, 'trial')} share" if shared else count(n, "replicate")
    text += f" (n = {drawn})"
    gains = statistics.scheme_gains(rows[rows["sampling"].isin(["iid", "sobol"])])
    if len(gains):  # by D, and no slope: it depends on D and on L
        most = f"L = {gains['num_samples'].max():g}"
        text += f"; with scrambled Sobol draws it is, at {most}, {gains_by_dimension(gains)}"
    return f"{text}."


def draws(sweep: Sweep, variance: pd.DataFrame) -> str:
    """The smallest L whose noise in the mean over the split is small beside what another seed changes."""
    images = (sweep.info.get("data") or {}).get("test")
    if variance.empty or not isinstance(images, int):
        return ""
    at = answers.studied_dimension(sweep, variance)
    rows = planning.measured(sweep)
    rows = rows[(rows["quantity"] == "elbo_monte_carlo") & (rows["sampling"] == "iid") & (rows[DIMENSION] == at)]
    rows = rows[rows["between_replicates"].notna()].sort_values("num_samples")
    if rows.empty:
        return ""
    between = float(rows["between_replicates"].iloc[0])
    noise = rows["monte_carlo"] / images
    enough = rows[(noise <= NEGLIGIBLE * between).to_numpy()]
    if enough.empty:
        return f"No measured L makes the draws' noise small beside the spread between seeds (D = {at})."
    row = enough.iloc[0]
    error = float(np.sqrt(row["monte_carlo"] / images))
    return (
        f"To evaluate the Monte Carlo ELBO on the {images:,} test images, L = {row['num_samples']:g} is enough "
        f"at D = {at}: the draws add a standard error of {figure(error, 2)} nats, where another seed changes the "
        f"bound by {figure(float(np.sqrt(between)), 2)} nats (standard deviation, pooled as in the intervals)."
    )


def trust(sweep: Sweep) -> str:
    """Suspect trials, the closed form of Var k1, and the calibration."""
    said = []
    finished = sweep.trials["status"] == FINISHED
    doubtful = int((finished & (sweep.trials["suspect"] != "")).sum())
    if finished.any():
        said.append(f"{count(doubtful, 'trial is', 'trials are')} suspect" if doubtful else "no trial is suspect")
    replicates = with_dimension(sweep, "replicates")
    ratios = statistics.predicted_vs_measured(replicates)
    if not ratios.empty:
        share = statistics.share_containing_one(ratios).iloc[0]
        said.append(
            f"the measured variance of k1 agrees with its closed form in {int(share['inside'])} of "
            f"{count(int(share['n']), 'trial')} (99 % intervals{shared_draws(sweep)})"
        )
    if not sweep.calibration.empty:
        table = statistics.calibration_summary(sweep.calibration).iloc[0]
        within = f"{int(table['n'] - table['beyond_limit'])} of {int(table['n'])} estimates with a known answer"
        text = f"{within} lie within {calibration_limit():g} standard errors of it"
        if not sweep.calibration_seeds.empty:
            rows = statistics.calibration_rows(sweep.calibration_seeds)
            off, seeds = int(rows["off"].sum()), int(rows["n"].max())
            text += f", and over {seeds} seeds {off or 'none'} of {len(rows)} {'are' if off > 1 else 'is'} off"
        said.append(text)
    text = "; ".join(said)
    return f"Can it be trusted? {text[:1].upper()}{text[1:]}." if said else ""
