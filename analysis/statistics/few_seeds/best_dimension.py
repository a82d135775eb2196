"""Which latent dimension is best, and which is good enough: probabilities from the posterior of the means.

    table = dimension_probabilities(replicates, "test.elbo", within="kl.estimator")
    table[["kl.estimator", "model.latent_dim", "probability_best", "probability_at_most"]]
    sufficient_dimension(table, within="kl.estimator")      # D*, its interval and its probability

The posterior. With a flat prior on the means and on log sigma, the mean at each D is m + sigma z / sqrt(n), z normal,
and sigma^2 is s^2 times degrees over a chi-square: Student's t around the observed mean, with one spread for the whole
series (Gelman et al. 2013, section 3.2). Everything below is an integral over it, by quadrature: no random number.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import special, stats

from analysis.statistics.few_seeds.pooled import FEW_DEGREES, pooled_means
from analysis.statistics.intervals import CONFIDENCE, By, Floats, as_list, groups

STEPS = np.arange(-6.0, 6.01, 0.2)
"""Where the normal density is summed: the trapezoid rule on it is exact to ten digits."""
NAMED_FROM = 3
"""Seeds from which D* is named with a probability; from two, 0.69 is claimed where 0.54 are right."""
NODES, WEIGHTS = np.polynomial.legendre.leggauss(32)


def dimension_probabilities(
    frame: pd.DataFrame,
    value: str,
    by: str = "model.latent_dim",
    *,
    within: By = (),
    setting: By | None = None,
    tolerance: float | None = None,
    maximise: bool = True,
    unit: By | None = None,
) -> pd.DataFrame:
    """For each D of a curve: the probability that it is best, and that it is the smallest that is good enough (D*).

    D* is the smallest D whose mean is within `tolerance` of the best mean. Nothing is said of a curve of one D, or with
    fewer than three degrees of freedom behind its spread; a D with one seed takes no part.

    Args:
        frame: One row per replicate.
        value: Column, for example `test.elbo`.
        by: The dimension.
        within: Columns that split the frame into curves.
        setting: Columns that share one seed variance, where a curve's configurations differ in more than D and each D
            has one of them (None: the whole curve).
        tolerance: What does not matter, in the unit of `value` (None: one seed standard deviation, pooled over the
            curve).
        maximise: False for losses and bits per dimension.
        unit: Columns that name the independent unit, as in `summarise`.

    Returns:
        Columns `within`, `by`, `n`, `mean`, `probability_best`, `probability_sufficient` (that it is D*),
        `probability_at_most` (that D* is no larger), `tolerance`, `degrees`, `note` ("" or why there is no answer).
    """
    keys = as_list(within)
    shared = keys if setting is None else [*keys, *as_list(setting)]
    means = pooled_means(frame, value, list(dict.fromkeys([*shared, by])), within=shared, unit=unit)
    tables = [_curve(group, by, tolerance, maximise) for _, group in groups(means[means["n"] > 0], keys)]
    names = ["n", "mean", "probability_best", "probability_sufficient", "probability_at_most"]
    names += ["tolerance", "degrees", "note"]
    if not tables:
        return pd.DataFrame(columns=[*keys, by, *names])
    return pd.concat(tables, ignore_index=True)[[*keys, by, *names]]


def _curve(means: pd.DataFrame, by: str, tolerance: float | None, maximise: bool) -> pd.DataFrame:
    """The columns of one curve."""
    means = means.sort_values(by, ignore_index=True)
    several = means["n"] >= 2
    known = means[several]
    degrees, note = float(known["degrees"].max()) if len(known) else 0.0, ""
    if len(means) == 1:
        note = "one dimension only: a curve needs two"
    elif len(known) < 2:
        note = f"one seed at {'most' if len(known) else 'all'} dimensions: they cannot be told apart"
    elif degrees < FEW_DEGREES:
        note = f"too few seeds, {degrees:g} degrees of freedom in all"
    table = means.assign(
        probability_best=np.nan, probability_sufficient=np.nan, probability_at_most=np.nan, tolerance=np.nan
    ).assign(degrees=degrees)
    if note:
        return table.assign(note=note)
    sd = known["pooled_sd"].to_numpy(float)
    sign = 1.0 if maximise else -1.0
    allowed = float(np.sqrt(np.mean(sd**2))) if tolerance is None else tolerance
    best, at_most = posterior(sign * known["mean"].to_numpy(), sd, known["n"].to_numpy(float), degrees, allowed)
    table.loc[several, "probability_best"] = best
    table.loc[several, "probability_at_most"] = at_most
    table.loc[several, "probability_sufficient"] = np.diff(at_most, prepend=0.0)
    left = int((~several).sum())
    note = f"{left} of {len(means)} dimensions have one seed and take no part" if left else ""
    return table.assign(tolerance=allowed, note=note)


def posterior(means: Floats, sd: Floats | float, n: Floats, degrees: float, tolerance: float) -> tuple[Floats, Floats]:
    """(P(i is best), P(D* <= i)) for means of `n` seeds, in the order of D, whose seed deviation is `sd`.

    With A the dimensions up to i and B those beyond, D* <= i is max A >= max B - tolerance: the sum over i in A of the
    density of mean i times the distribution functions of the others of A at the same value, of B at that plus the
    tolerance.
    """
    if not np.any(np.asarray(sd) > 0):  # every seed agrees: nothing is uncertain
        best = (means == means.max()) / np.sum(means == means.max())
        return best, np.cumsum(np.eye(len(means))[int(np.argmax(means >= means.max() - tolerance))])
    scales = np.sqrt(degrees / stats.chi2.ppf((NODES + 1) / 2, degrees))[:, None, None, None]
    errors = np.maximum(np.broadcast_to(sd, means.shape), 1e-12) / np.sqrt(n)
    # Axes: spread, whose density, its value, whose distribution function.
    values = means[None, :, None, None] + scales * errors[None, :, None, None] * STEPS[None, None, :, None]
    density = stats.norm.pdf(STEPS)[None, None, :] * (STEPS[1] - STEPS[0]) * (WEIGHTS / 2)[:, None, None]
    scaled = scales * errors
    below = special.ndtr((values - means) / scaled)
    below_by = special.ndtr((values + tolerance - means) / scaled)
    each = np.arange(len(means))
    below[:, each, :, each] = 1.0
    inside = np.cumprod(below, axis=-1)
    best = np.sum(density * inside[..., -1], axis=(0, 2))
    beyond = np.cumprod(below_by[..., ::-1], axis=-1)[..., ::-1]
    beyond = np.concatenate([beyond[..., 1:], np.ones_like(beyond[..., :1])], axis=-1)
    mass = np.sum(density[..., None] * inside * beyond, axis=(0, 2))  # whose density, up to which D
    at_most = np.array([mass[: i + 1, i].sum() for i in each])
    return best / best.sum(), np.minimum(np.maximum.accumulate(at_most / at_most[-1]), 1.0)


def sufficient_dimension(
    probabilities: pd.DataFrame, by: str = "model.latent_dim", *, within: By = (), confidence: float = CONFIDENCE
) -> pd.DataFrame:
    """D* of each curve: the median of its posterior, its interval, and the likeliest best D.

    Args:
        probabilities: `dimension_probabilities`' table.
        by: The dimension.
        within: Columns that split it into curves.
        confidence: Level of the interval.

    Returns:
        One row per curve: `within`, `sufficient` (D*), `low`, `high`, `probability` (that it is this D), `best` (the
        likeliest best D), `probability_best` (of it), `tolerance`, `degrees`, `dimensions`, `n` (units), `seeds` (the
        fewest of a D that takes part), `note`. From fewer than `NAMED_FROM` seeds the interval is right and the
        probability claims too much (`make audit`): name D* by its interval alone.
    """
    keys, rows = as_list(within), []
    tail = (1.0 - confidence) / 2
    for name, group in groups(probabilities, keys):
        known = group.dropna(subset=["probability_best"]).sort_values(by)
        seeds = int(known["n"].min()) if len(known) else 0
        head = (group["tolerance"].iloc[0], group["degrees"].iloc[0], len(group), int(group["n"].sum()), seeds)
        if known.empty:
            rows.append((*name, *[np.nan] * 6, *head, group["note"].iloc[0]))
            continue
        dims, at_most = known[by].to_numpy(float), known["probability_at_most"].to_numpy()
        middle, low, high = (int(np.argmax(at_most >= level - 1e-12)) for level in (0.5, tail, 1.0 - tail))
        best = int(known["probability_best"].to_numpy().argmax())
        sufficient = (dims[middle], dims[low], dims[high], known["probability_sufficient"].iloc[middle])
        likeliest = (dims[best], known["probability_best"].iloc[best])
        rows.append((*name, *sufficient, *likeliest, *head, group["note"].iloc[0]))
    names = ["sufficient", "low", "high", "probability", "best", "probability_best"]
    return pd.DataFrame(rows, columns=[*keys, *names, "tolerance", "degrees", "dimensions", "n", "seeds", "note"])
