"""What several pages need: a table with the latent dimension of its trial, and the words for a slope."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from analysis import statistics
from analysis.headline import DIMENSION, Headline, headline
from analysis.tables import Sweep
from analysis.wording import count, interval, label, listed

BOUND, RANK = "test.elbo", "validation.elbo"
KL = ("k1", "cross_entropy")
ELBO = ("reconstruction", "elbo_closed_form", "elbo_monte_carlo", "elbo_control_variate")
"""Quantities of the variance study; k3 has a section of its own."""


def with_configuration(sweep: Sweep, table: str) -> pd.DataFrame:
    """Rows of finished trials with their D, and nothing else: the variance table has hundreds of thousands of rows."""
    frame: pd.DataFrame = getattr(sweep, table)
    finished = sweep.trials.loc[sweep.trials["status"] == "finished", ["trial", DIMENSION]]
    return frame.merge(finished, on="trial", how="inner", validate="many_to_one")


def studied_dimension(sweep: Sweep, variance: pd.DataFrame) -> int:
    """The D that curves against L are drawn for: the knee of the best curve, or the one with most replicates."""
    chosen = headline(sweep)
    if BOUND in chosen.replicates and chosen.replicates[BOUND].notna().any():
        found = statistics.knee(chosen.replicates, BOUND, within="series")
        knee = found.iloc[int(found["best_mean"].argmax())]["knee"]
        if (variance[DIMENSION] == knee).any():
            return int(knee)
    sizes = variance.drop_duplicates(["trial", "replicate"])[DIMENSION].value_counts()
    return int(max(sizes[sizes == sizes.max()].index))


def estimators_apart(chosen: Headline) -> tuple[pd.DataFrame, str | None]:
    """Paired differences between KL estimators, or the reason why there are none."""
    empty, everything = pd.DataFrame(), pd.concat([chosen.replicates, chosen.passed])
    if BOUND not in everything or "kl.estimator" not in everything or everything.empty:
        return empty, "The KL estimator's influence was not measured."
    if everything["kl.estimator"].nunique() < 2:
        return empty, "All trials use one KL estimator, so there is nothing to compare."
    # A design crosses the estimators: that is where they are compared, whatever the curve rests on.
    designed = everything[everything["phase"] == "factorial"]
    for rows in (chosen.replicates, designed):
        if rows["kl.estimator"].nunique() > 1:
            table = statistics.paired_differences(rows, BOUND, "kl.estimator")
            table = table[table["n"] > 0]
            if not table.empty:
                return table, None
    trials = everything.drop_duplicates("trial")["kl.estimator"].value_counts().sort_index()
    tried = listed([f"{label(name)} in {count(int(number), 'trial')}" for name, number in trials.items()])
    return empty, (
        f"Whether the KL estimator matters, this sweep cannot say: it tried {tried}, but no two trials differ in the "
        "estimator alone, so a difference could as well come from the other settings. As a factor (factors: "
        "kl.estimator) it would be compared seed by seed."
    )


def spread(dimensions: Iterable[float]) -> bool:
    """Whether latent dimensions lie so far apart that a logarithmic axis shows them better."""
    values = list(dimensions)
    return len(values) > 1 and max(values) >= 6 * min(values)


def slope_text(row: Mapping[str, Any] | pd.Series) -> str:
    """`−1.00 [−1.02, −0.98]`."""
    return interval(float(row["slope"]), float(row["low"]), float(row["high"]), most=3)


def yes_no(holds: pd.Series, expected: pd.Series) -> list[str]:
    """Whether the interval contains what theory expects; nothing where theory expects nothing."""
    return ["–" if np.isnan(value) else "yes" if inside else "no" for inside, value in zip(holds, expected)]


def geometric_means(frame: pd.DataFrame, value: str, by: list[str], *, unit: str | None = None) -> pd.DataFrame:
    """`summarise` on the log scale and back: for variances, which are positive and compared by their ratios."""
    positive = frame[frame[value] > 0]
    table = statistics.summarise(positive.assign(**{value: np.log(positive[value])}), value, by, unit=unit)
    return table.assign(**{name: np.exp(table[name]) for name in ("mean", "low", "high")})


def among(frame: pd.DataFrame, wanted: dict[str, tuple[str, ...]]) -> pd.DataFrame:
    for column, values in wanted.items():
        frame = frame[frame[column].isin(values)]
    return frame


def named(frame: pd.DataFrame, series: str) -> pd.DataFrame:
    names = [f"K = {key:g}" if series == "num_importance_samples" else label(key) for key in frame[series]]
    return frame.assign(series=names, key=frame[series])


def sizes(rows: pd.DataFrame) -> str:
    pairs = rows.drop_duplicates(["trial", "replicate"])
    images, draws = int(rows["images"].max()), int(rows["draws"].max())
    return (
        f"{count(pairs['trial'].nunique(), 'trial')}, {count(len(pairs), 'replicate')}, "
        f"{count(images, 'image')}, {count(draws, 'draw')}"
    )
