"""What several pages need: a table with the latent dimension of its trial, and the words for a slope."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from analysis.statistics.headline import DIMENSION
from analysis.tables import Sweep
from analysis.wording import count, interval, label

KL = ("k1", "cross_entropy")
ELBO = ("reconstruction", "elbo_closed_form", "elbo_monte_carlo", "elbo_control_variate")
"""Quantities of the variance study; k3 has a section of its own."""


def with_configuration(sweep: Sweep, table: str) -> pd.DataFrame:
    """Rows of finished trials with their D, and nothing else: the variance table has hundreds of thousands of rows."""
    frame: pd.DataFrame = getattr(sweep, table)
    finished = sweep.trials.loc[sweep.trials["status"] == "finished", ["trial", DIMENSION]]
    return frame.merge(finished, on="trial", how="inner", validate="many_to_one")


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


def _power(kl: float) -> str:
    """exp(kl) in words that do not overflow."""
    exponent = kl / np.log(10.0)
    return f"{np.exp(kl):,.0f}" if exponent < 6 else f"10^{exponent:.0f}"
