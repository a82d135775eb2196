"""What the sections on the variance study share: which quantity estimates what, the names of lines, sizes in words."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.figures import Style, marked
from analysis.tables.kinds import QUANTITY, SAMPLING, places
from analysis.wording import count, label

VARIANCE = "variance (nats²)"
K1, K3, RECONSTRUCTION, IWAE = "k1", "k3", "reconstruction", "iwae"
CLOSED_FORM_ELBO, MONTE_CARLO_ELBO = "elbo_closed_form", "elbo_monte_carlo"
"""Quantities that the page speaks of by name. k3 has a section of its own; the reconstruction term varies exactly as
the ELBO with closed-form KL."""

KINDS = {"quantity": QUANTITY, "sampling": SAMPLING}
"""Column of the variance table -> what its names are one of."""


def is_elbo(quantity: pd.Series) -> pd.Series:
    """Which rows are of an estimator of the ELBO."""
    return quantity.str.startswith("elbo_")


def is_kl(quantity: pd.Series) -> pd.Series:
    """Which rows are of an estimator of the KL, k3 aside."""
    return ~is_elbo(quantity) & ~quantity.isin([K3, RECONSTRUCTION, IWAE])


def is_iid(rows: pd.DataFrame) -> pd.Series:
    """Which rows are of independent draws."""
    return rows["sampling"] == "iid"


def labelled(frame: pd.DataFrame, column: str) -> list[str]:
    """The labels of a column of the study, for a table that is read."""
    return [label(name, KINDS[column]) for name in frame[column]]


def named(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """The rows with a column `series` that names their line in a legend, and `key`, what the table calls it."""
    if column == "num_importance_samples":
        return frame.assign(series=[f"K = {key:g}" for key in frame[column]], key=frame[column])
    return frame.assign(series=labelled(frame, column), key=frame[column])


def looks(frame: pd.DataFrame, column: str) -> dict[str, Style]:
    """How the lines of `named(frame, column)` look, in the order of the schema's list."""
    lines = frame.drop_duplicates("key")
    if column in KINDS:
        lines = lines.iloc[np.argsort(places(KINDS[column], list(lines["key"])), kind="stable")]
    return marked(list(lines["series"]), KINDS.get(column), list(lines["key"]))


def sizes(rows: pd.DataFrame) -> str:
    """`3 trials, 9 replicates, 128 images, 1,024 draws`: what rows of the study rest on."""
    pairs = rows.drop_duplicates(["trial", "replicate"])
    images, draws = int(rows["images"].max()), int(rows["draws"].max())
    return (
        f"{count(pairs['trial'].nunique(), 'trial')}, {count(len(pairs), 'replicate')}, "
        f"{count(images, 'image')}, {count(draws, 'draw')}"
    )


def yes_no(holds: pd.Series, expected: pd.Series) -> list[str]:
    """Whether the interval contains what theory expects; nothing where theory expects nothing."""
    return ["–" if np.isnan(value) else "yes" if inside else "no" for inside, value in zip(holds, expected)]
