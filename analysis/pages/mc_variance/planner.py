"""How many draws, images and replicates are enough for a standard error, and what they cost."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.document.blocks import Block, Heading, Note, Table, Text
from analysis.pages.mc_variance.study import CLOSED_FORM_ELBO, K1, MONTE_CARLO_ELBO, is_iid, labelled
from analysis.statistics import planning
from analysis.tables import Sweep, TableError
from analysis.tables.columns import DIMENSION
from analysis.wording import count, figure

TARGET = 0.1
"""Nats per image: the standard error that the table is for."""
SHOWN = (K1, CLOSED_FORM_ELBO, MONTE_CARLO_ELBO)
"""The KL and the ELBO, with and without the noise of a sampled KL; the files hold every estimator."""


def blocks(sweep: Sweep, dimension: int) -> list[Block]:
    """Which L, images and replicates reach TARGET for the ELBO and the KL, and what that costs; first at one D."""
    heading = Heading("Planner: how much is enough")
    try:
        table = planning.plan(sweep, TARGET)
    except TableError as error:
        return [heading, Note(f"No plan can be given: {error}")]
    wanted = table[is_iid(table) & table["quantity"].isin(SHOWN)]
    text = (
        "The cheapest number of draws, images and replicates that brings a standard error of "
        f"{TARGET:g} nats per image, from the variance components measured above. A statement about this split takes "
        "its images as the whole; one about new images takes them as a sample, and may need more than the split holds. "
        "Brackets: 95 % intervals, since the variances themselves are known from few seeds (pooled over the D of a "
        "series) and from the evaluated images; the standard error's is what this plan would reach."
    )
    caption = "Only measured L are considered. `elbosweep plan` answers for other targets."
    here = wanted[wanted[DIMENSION] == dimension]
    split = wanted[wanted["scope"] == planning.THIS_SPLIT]
    return [
        heading,
        Text(text),
        Table("plan", table, f"At D = {dimension}. {caption}", shown=_shown(here)),
        Table("plan_by_dimension", split, "Statements about this split, at every D.", 200, _shown(split), folded=True),
        Text(_sentence(wanted)),
    ]


def _shown(rows: pd.DataFrame) -> pd.DataFrame:
    """A plan as it is read; a column with reasons only where a target is out of reach."""
    shown = {
        "D": rows[DIMENSION],
        "estimator": labelled(rows, "quantity"),
        "statement about": rows["scope"],
        "L": _ranged(rows, "num_samples"),
        "images": _ranged(rows, "images"),
        "replicates": _ranged(rows, "replicates"),
        "standard error (nats)": _ranged(rows, "standard_error", 2),
        "seconds": _ranged(rows, "seconds", 3),
        "of which training": [
            f"{value:.0%}" if np.isfinite(value) else "–" for value in rows["seconds_training"] / rows["seconds"]
        ],
    }
    reasons = [note if not done else "" for note, done in zip(rows["note"], rows["reachable"])]
    return pd.DataFrame(shown | ({"out of reach": reasons} if any(reasons) else {}))


def _ranged(rows: pd.DataFrame, name: str, digits: int | None = None) -> list[str]:
    """A planned number with its interval: `22 [14, 40]`; `–` where there is no plan, `∞` where none reaches it."""
    said = []
    for value, low, high in rows[[name, f"{name}_low", f"{name}_high"]].to_numpy(float):
        span = f" [{_number(low, digits)}, {_number(high, digits)}]" if low < high else ""
        said.append(f"{_number(value, digits)}{span}" if np.isfinite(value) else "–")
    return said


def _number(value: float, digits: int | None) -> str:
    """A whole number, or one with so many digits."""
    if np.isinf(value):
        return "∞"
    return f"{value:,.0f}" if digits is None else figure(value, digits)


def _sentence(wanted: pd.DataFrame) -> str:
    """The most expensive plan of the Monte Carlo ELBO, and how much of it is training."""
    rows = wanted[(wanted["quantity"] == MONTE_CARLO_ELBO) & (wanted["scope"] == planning.THIS_SPLIT)]
    if len(rows) and rows["note"].str.startswith(planning.CANNOT_KNOW).all():
        return f"How many replicates would be enough: {rows['note'].iloc[0]}."
    rows = rows[rows["reachable"]]
    if rows.empty:
        return f"On this split, no measured design of the Monte Carlo ELBO reaches {TARGET:g} nats."
    row = rows.iloc[int(rows["seconds"].argmax())]
    return (
        f"The most expensive is D = {row[DIMENSION]:g}: {count(int(row['replicates']), 'replicate')} "
        f"[{_number(row['replicates_low'], None)}, {_number(row['replicates_high'], None)}] "
        f"on {count(int(row['images']), 'image')} with "
        f"L = {row['num_samples']:g} bring the Monte Carlo ELBO of this split to {row['standard_error']:.2g} nats in "
        f"{figure(row['seconds'], 3)} seconds, {row['seconds_training'] / row['seconds']:.0%} of them training."
    )
