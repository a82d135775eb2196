"""What the report's statistics promise, on simulated sweeps whose truth is known: before (own variance) and after.

python -m tests.benchmarks.audit [--sweeps 1000]

Ten configurations (five dimensions, two KL estimators), n seeds each. "before" is what the report said until its
intervals were pooled: Student's t from each cell's own seeds, the best cell's own mean, the smallest D within one
standard error of the best, a paired t-test at each D. The table stands in docs/statistics.md.
"""

from __future__ import annotations

import argparse
import itertools
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from analysis.statistics import holm
from analysis.statistics.few_seeds.best_dimension import posterior
from analysis.statistics.few_seeds.effects import EQUIVALENT, UNKNOWN, effects
from analysis.statistics.few_seeds.pooled import pooled_means
from analysis.statistics.few_seeds.winner import Cells, headline_of, left_out
from analysis.tables.columns import BOUND, DIMENSION
from tests.benchmarks.timing import table

Floats = npt.NDArray[np.float64]

DIMS = (2, 4, 8, 16, 32)
ESTIMATORS = ("closed_form", "monte_carlo")
CURVES = {
    "saturating": (-92.7, -90.9, -90.2, -90.0, -89.95),
    "peaked": (-92.7, -90.14, -89.99, -90.15, -90.39),  # 16 seeds of the default sweep
    "flat": (-90.0,) * 5,
}
UNEQUAL = np.array([[0.48, 0.50, 0.53, 0.56, 0.60], [0.72, 0.8, 0.9, 1.0, 1.09]])
"""Seed deviations as 16 seeds of the default sweep have them: equal neither within a series nor between them."""
NOISES, SEEDS = ("normal", "skewed", "unequal"), (2, 3, 5)
SD, TOLERANCE, DIFFERENCE, MARGIN = 0.5, 0.5, 1.0, 0.5
"""Nats: of a seed; of D*; between the estimators where they differ; of the equivalence."""
RESAMPLES, DRAWN, BIAS = 200, 300, 40
"""Simulated sweeps behind each interval of a headline; sweeps whose D* is asked for in each case; how many times more
sweeps the biases rest on, whose limit of 0.02 nats is far below the spread of a headline."""


class Sweeps(NamedTuple):
    """`values` are sweeps x estimators x dimensions x seeds, `truth` estimators x dimensions."""

    values: Floats
    truth: Floats


def simulate(noise: str, curve: str, seeds: int, sweeps: int, *, difference: float = 0.0, start: int = 0) -> Sweeps:
    """Sweeps with known means: closed form follows the curve, Monte Carlo lies `difference` below."""
    rng = np.random.default_rng([start, seeds, NOISES.index(noise), list(CURVES).index(curve)])
    truth = np.array([CURVES[curve], np.array(CURVES[curve]) - difference])
    shape = (sweeps, *truth.shape, seeds)
    if noise == "skewed":  # to the left: a seed is rarely lucky and now and then lost; skewness -1.4
        drawn = -(rng.gamma(2.0, size=shape) - 2.0) / np.sqrt(2.0) * SD
    else:
        drawn = rng.normal(size=shape) * (SD if noise == "normal" else UNEQUAL[..., None])
    return Sweeps(truth[..., None] + drawn, truth)


def as_frame(values: Floats) -> pd.DataFrame:
    """The sweeps as one table of replicates, with a column `sweep`."""
    sweep, kind, dim, seed = (grid.ravel() for grid in np.indices(values.shape))
    return pd.DataFrame(
        {
            "sweep": sweep,
            "kl.estimator": np.array(ESTIMATORS)[kind],
            DIMENSION: np.array(DIMS)[dim],
            "seed": seed,
            BOUND: values.ravel(),
        }
    )


# --- intervals and the headline -------------------------------------------------------------------------------------


def intervals(sweeps: Sweeps) -> dict[str, float]:
    """Coverage of all cells, and of the chosen one; bias and half-width of the headline; before and after."""
    values, truth = sweeps
    count, seeds = len(values), values.shape[-1]
    means, own = values.mean(axis=-1), values.std(axis=-1, ddof=1) / np.sqrt(seeds)
    half = stats.t.ppf(0.975, seeds - 1) * own
    keys = ["sweep", "kl.estimator", DIMENSION]
    pooled = pooled_means(as_frame(values), BOUND, keys, within=keys[:2])
    inside = (
        (pooled["low"] <= np.tile(truth.ravel(), count)) & (pooled["high"] >= np.tile(truth.ravel(), count))
    ).mean()
    deviations = pooled["pooled_sd"].to_numpy().reshape(count, -1)
    degrees = pooled["degrees"].to_numpy().reshape(count, -1)
    chosen = means.reshape(count, -1).argmax(axis=1)
    target, each = truth.ravel()[chosen], np.arange(count)
    rows = [headline(values[i].reshape(-1, seeds), deviations[i], degrees[i]) for i in range(count)]
    estimate, low, high = (np.array([row[name] for row in rows]) for name in ("estimate", "low", "high"))
    error, freedom = (np.array([row[name] for row in rows]) for name in ("standard_error", "degrees"))
    student = stats.t.ppf(0.975, freedom) * error  # what the headline's interval would be without the bootstrap
    naive, naive_half = means.reshape(count, -1)[each, chosen], half.reshape(count, -1)[each, chosen]
    return {
        "all_before": float((np.abs(means - truth) <= half).mean()),
        "all_after": float(inside),
        "chosen_before": float((np.abs(naive - target) <= naive_half).mean()),
        "chosen_student": float((np.abs(estimate - target) <= student).mean()),
        "chosen_after": float(((low <= target) & (target <= high)).mean()),
        "half_before": float(half.mean()),
        "half_after": float(((pooled["high"] - pooled["low"]) / 2).mean()),
        "headline_half": float(((high - low) / 2).mean()),
    }


def biases(sweeps: Sweeps) -> dict[str, float]:
    """How much too good the best mean is, and the headline; with the standard error of the latter."""
    values = sweeps.values.reshape(len(sweeps.values), -1, sweeps.values.shape[-1])
    cells, means = values.shape[1:], values.mean(axis=-1)
    estimate, _, _ = left_out(values, values, np.ones(means.shape), np.ones(cells, dtype=bool))
    chosen = means.argmax(axis=1)
    off = estimate - sweeps.truth.ravel()[chosen]
    best = np.take_along_axis(means, chosen[:, None], 1)[:, 0] - sweeps.truth.ravel()[chosen]
    return {"before": float(best.mean()), "after": float(off.mean()), "error": float(off.std() / np.sqrt(len(off)))}


def headline(values: Floats, deviations: Floats, degrees: Floats) -> dict[str, float]:
    """The headline of one sweep, cells x seeds; each estimator is a series."""
    series = np.repeat(np.arange(len(ESTIMATORS)), len(DIMS))
    names: list[object] = list(range(len(values)))
    return headline_of(Cells(names, values, values, deviations, deviations, degrees, series, 1.0), RESAMPLES)


# --- which D --------------------------------------------------------------------------------------------------------


def dimension(sweeps: Sweeps, count: int) -> dict[str, float]:
    """How often D* is right, and the probability that it is given; closed form only.

    Each rule is held against its own question: the smallest D within `TOLERANCE` of the best for the posterior; for the
    rule of one standard error the smallest within one standard error of the truth, which moves with n.
    """
    values, truth = sweeps.values[:count, 0], sweeps.truth[0]
    seeds = values.shape[-1]
    means, own = values.mean(axis=-1), values.std(axis=-1, ddof=1) / np.sqrt(seeds)
    best = means.argmax(axis=1)
    threshold = means.max(axis=1) - np.take_along_axis(own, best[:, None], 1)[:, 0]
    knee = (means >= threshold[:, None]).argmax(axis=1)
    right_before = smallest(truth, SD / np.sqrt(seeds))
    right, said, hits, held, top = smallest(truth, TOLERANCE), [], [], [], []
    for row, spread in zip(means, np.sqrt(values.var(axis=-1, ddof=1).mean(axis=1)), strict=True):
        p_best, at_most = posterior(
            row, float(spread), np.full(len(DIMS), float(seeds)), len(DIMS) * (seeds - 1.0), TOLERANCE
        )
        middle, low, high = (int(np.argmax(at_most >= level)) for level in (0.5, 0.025, 0.975))
        said.append(float(np.diff(at_most, prepend=0.0)[middle]))
        hits.append(middle == right)
        held.append(low <= right <= high)
        top.append(bool(p_best.max() > 0.95 and truth[p_best.argmax()] < truth.max()))
    return {
        "right_before": float((knee == right_before).mean()),
        "right_after": float(np.mean(hits)),
        "said_after": float(np.mean(said)),
        "held_after": float(np.mean(held)),
        "false_best": float(np.mean(top)),
    }


def smallest(truth: Floats, tolerance: float) -> int:
    """Place of the smallest D whose true mean is within the tolerance of the best."""
    return int(np.argmax(truth >= truth.max() - tolerance - 1e-9))


# --- verdicts -------------------------------------------------------------------------------------------------------


def verdicts(noise: str, seeds: int, sweeps: int) -> dict[str, float]:
    """How often the estimators are told apart where they are equal (false) and where they differ (power)."""
    rates: dict[str, float] = {}
    for name, difference in (("false", 0.0), ("power", DIFFERENCE), ("edge", MARGIN)):
        values = simulate(noise, "flat", seeds, sweeps, difference=difference, start=1).values
        pairs = values[:, 0] - values[:, 1]
        p = np.apply_along_axis(holm, 1, stats.ttest_1samp(pairs, 0.0, axis=-1).pvalue)
        judged = effects(as_frame(values), BOUND, "kl.estimator", by="sweep", margin=MARGIN)
        apart = ~judged["verdict"].isin([EQUIVALENT, UNKNOWN])
        overall = judged["scope"] == "all"
        rates |= {
            f"{name}_before": float((p < 0.05).any(axis=1).mean()),
            f"{name}_each_before": float((p < 0.05).mean()),
            f"{name}_after": float(apart[overall].mean()),
            f"{name}_any_after": float(apart[~overall].groupby(judged["sweep"]).any().mean()),
            f"{name}_each_after": float(apart[~overall].mean()),
            f"{name}_equivalent": float((judged.loc[overall, "p_equivalent"] < 0.05).mean()),
        }
    return rates


# --- the table ------------------------------------------------------------------------------------------------------


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sweeps", type=int, default=1000)
    sweeps = parser.parse_args().sweeps
    first, second, third = [], [], []
    for noise, curve, seeds in itertools.product(NOISES, CURVES, SEEDS):
        drawn = simulate(noise, curve, seeds, sweeps)
        case = [noise, curve, str(seeds)]
        row, off = intervals(drawn), biases(simulate(noise, curve, seeds, BIAS * sweeps, start=2))
        cover, widths = list(row)[:5], list(row)[5:]
        said = [f"{off['before']:+.3f}", f"{off['after']:+.3f} ± {off['error']:.3f}"]
        first.append([*case, *(f"{row[name]:.3f}" for name in cover), *said, *(f"{row[name]:.2f}" for name in widths)])
        second.append([*case, *(f"{rate:.2f}" for rate in dimension(drawn, DRAWN).values())])
    for noise, seeds in itertools.product(NOISES, SEEDS):
        rates = verdicts(noise, seeds, sweeps)
        names = ("false_before", "false_after", "false_any_after", "edge_equivalent", "power_before", "power_after")
        names += ("power_each_before", "power_each_after")
        third.append([noise, str(seeds), *(f"{rates[name]:.3f}" for name in names)])
    print(f"\n95 % intervals of {sweeps:,} sweeps a row, biases of {BIAS * sweeps:,}, in nats")
    heads = [
        "all cells: own t",
        "pooled",
        "chosen cell: own t",
        "headline, t",
        "headline",
        "bias: best mean",
        "headline",
    ]
    table(["noise", "curve", "n", *heads, "half-width: own t", "pooled", "headline"], first)
    print(f"\nD* ({DRAWN} sweeps a row): right by one standard error, by the posterior; what it claims; its interval")
    table(
        ["noise", "curve", "n", "1 SE right", "D* right", "claimed", "interval holds", "false P(best) > 0.95"], second
    )
    print(
        f"\nClosed form against Monte Carlo: equal (false), {DIFFERENCE:g} nat apart (power), {MARGIN:g} (equivalence)"
    )
    heads = ["false: any D, own t", "overall", "any D, pooled", "false: equivalent"]
    heads += ["power: any D, own t", "overall", "each D, own t", "each D, pooled"]
    table(["noise", "n", *heads], third)


if __name__ == "__main__":
    main()
