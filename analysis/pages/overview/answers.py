"""The answers of the sweep in a few sentences, each computed from its tables; they open the report."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis import statistics
from analysis.document.blocks import Block, Findings
from analysis.pages.common import slope_text, with_dimension
from analysis.statistics import planning
from analysis.statistics.headline import Headline, estimators_apart, headline, studied_dimension
from analysis.statistics.selection import best_was_late
from analysis.tables import Sweep
from analysis.tables.columns import BOUND, DIMENSION, FINISHED
from analysis.tables.schema import calibration_limit
from analysis.wording import count, figure, interval

NEGLIGIBLE = 0.1
"""Share of the variance between replicates below which the draws' own part is not worth paying for."""


def blocks(sweep: Sweep) -> list[Block]:
    """Best D and its knee; KL estimators; the slope of the variance; how many draws are enough; what to distrust."""
    chosen = headline(sweep)
    variance = with_dimension(sweep, "variance")
    said = [dimension(chosen), estimators(chosen), slope(variance), draws(sweep, variance), trust(sweep)]
    sentences = tuple(sentence for sentence in said if sentence)
    return [Findings(sentences)] if sentences else []


def dimension(chosen: Headline) -> str:
    """The best D, and the smallest that is as good."""
    means = chosen.means(BOUND)
    if means.empty:
        return ""
    top = means.iloc[int(means["mean"].argmax())]
    value = interval(top["mean"], top["low"], top["high"])
    if len(chosen.dimensions) == 1:
        return f"At D = {top[DIMENSION]:g}, the only latent dimension, the test ELBO is {value} nats per image."
    text = (
        f"The best test ELBO is {value} nats per image, at D = {top[DIMENSION]:g} ({top['series']}, n = {top['n']:g})"
    )
    knees = statistics.knee(chosen.replicates, BOUND, within="series").set_index("series")
    knee = knees.loc[top["series"]]
    if np.isfinite(knee["knee"]) and knee["knee"] < top[DIMENSION]:
        text += f"; D = {knee['knee']:g} is within one standard error of it"
    if np.isfinite(knee["knee"]):
        text += f"; the knee is D* = {knee['knee']:g}, 95 % interval {knee['low']:g} to {knee['high']:g}"
    return f"{text}."


def estimators(chosen: Headline) -> str:
    """Whether the data tell the KL estimators apart."""
    table, reason = estimators_apart(chosen)
    return statistics.overall_verdict(table, BOUND) if reason is None else reason


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
    if "sobol" in schemes:
        text += f"; with scrambled Sobol draws, to the power {slope_text(schemes['sobol'])}"
    return f"{text} (n = {count(int(iid['n']), 'replicate')})."


def draws(sweep: Sweep, variance: pd.DataFrame) -> str:
    """The smallest L whose noise in the mean over the split is small beside what another seed changes."""
    images = (sweep.info.get("data") or {}).get("test")
    if variance.empty or not isinstance(images, int):
        return ""
    at = studied_dimension(sweep, variance)
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
        f"bound by {figure(float(np.sqrt(between)), 2)} nats (standard deviation, pooled over the trials at this D)."
    )


def trust(sweep: Sweep) -> str:
    """Suspect trials, the closed form of Var k1, and the calibration."""
    said = []
    finished = sweep.trials["status"] == FINISHED
    doubtful = int((finished & (sweep.trials["suspect"] != "")).sum())
    if finished.any():
        said.append(f"{count(doubtful, 'trial is', 'trials are')} suspect" if doubtful else "no trial is suspect")
    replicates = with_dimension(sweep, "replicates")
    timed = replicates.dropna(subset=["best_epoch", "epochs"])
    if (late := best_was_late(timed)) > len(timed) / 2:
        best = f"{late} of {count(len(timed), 'replicate')} were best in the last tenth of training"
        said.append(f"{best}, so more epochs may help")
    ratios = statistics.predicted_vs_measured(replicates)
    if not ratios.empty:
        share = statistics.share_containing_one(ratios).iloc[0]
        said.append(
            f"the measured variance of k1 agrees with its closed form in {int(share['inside'])} of "
            f"{int(share['n'])} trials (99 % intervals)"
        )
    if not sweep.calibration.empty:
        table = statistics.calibration_summary(sweep.calibration).iloc[0]
        within = f"{int(table['n'] - table['beyond_limit'])} of {int(table['n'])} estimates with a known answer"
        said.append(f"{within} lie within {calibration_limit():g} standard errors of it")
    text = "; ".join(said)
    return f"Can it be trusted? {text[:1].upper()}{text[1:]}." if said else ""
