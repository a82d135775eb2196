"""The end of page 3: how many draws, images and replicates are enough."""

from __future__ import annotations

import pandas as pd

from analysis import planning
from analysis.document import Block, Heading, Note, Table, Text
from analysis.headline import DIMENSION
from analysis.tables import Sweep, TableError
from analysis.wording import count, figure, label

TARGET = 0.1
"""Nats per image: the standard error that the table is for."""
SHOWN = ("k1", "elbo_closed_form", "elbo_monte_carlo")


def blocks(sweep: Sweep) -> list[Block]:
    """Which L, images and replicates reach TARGET for the ELBO and the KL, and what that costs."""
    heading = Heading("Planner: how much is enough")
    try:
        table = planning.plan(sweep, TARGET)
    except TableError as error:
        return [heading, Note(f"No plan can be given: {error}")]
    wanted = table[(table["sampling"] == "iid") & table["quantity"].isin(SHOWN)]
    shown = pd.DataFrame(
        {
            "D": wanted[DIMENSION],
            "estimator": [label(name) for name in wanted["quantity"]],
            "statement about": wanted["scope"],
            "L": wanted["num_samples"],
            "images": wanted["images"],
            "replicates": wanted["replicates"],
            "standard error (nats)": wanted["standard_error"],
            "seconds": wanted["seconds"],
            "of which training": wanted["seconds_training"],
            "note": wanted["note"],
        }
    )
    text = (
        "The cheapest number of draws, images and replicates that brings a standard error of "
        f"{TARGET:g} nats per image, from the variance "
        "components measured above. A statement about this split takes its images as the whole; one "
        "about new images takes them as a sample."
    )
    caption = (
        "Only measured L are considered. `elbosweep plan` answers for other targets; the file holds "
        "every estimator and scheme."
    )
    return [heading, Text(text), Table("plan", table, caption, rows=30, shown=shown), Text(_sentence(wanted))]


def _sentence(wanted: pd.DataFrame) -> str:
    rows = wanted[
        (wanted["quantity"] == "elbo_monte_carlo") & wanted["reachable"] & (wanted["scope"] == planning.THIS_SPLIT)
    ]
    if rows.empty:
        return f"On this split, no measured design of the Monte Carlo ELBO reaches {TARGET:g} nats."
    row = rows.iloc[int(rows["seconds"].argmax())]
    return (
        f"The most expensive is D = {row[DIMENSION]:g}: {count(int(row['replicates']), 'replicate')} "
        f"on {count(int(row['images']), 'image')} with "
        f"L = {row['num_samples']:g} bring the Monte Carlo ELBO of this split to {row['standard_error']:.2g} nats in "
        f"{figure(row['seconds'], 3)} seconds, {row['seconds_training'] / row['seconds']:.0%} of them training."
    )
