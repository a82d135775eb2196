"""What z carries: I(x; z) and KL(q(z) | p(z)) between bounds, and no number where images are too few for one."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.document.blocks import Block, Heading, Note, Table, Text
from analysis.pages.common import counted
from analysis.statistics.answers import best_point
from analysis.statistics.headline import Headline
from analysis.tables.columns import DIMENSION
from analysis.tables.schema import information_margin
from analysis.wording import count, figure

LOWER, UPPER, CAP = "test.mutual_information", "test.mutual_information_upper", "test.mutual_information_cap"
KL_LOWER, KL_UPPER = "test.aggregate_kl_lower", "test.aggregate_kl"
ABOUT = (
    "The mean KL has two parts: the information I(x; z) that z carries about the image, and the distance "
    "KL(q(z) | p(z)) of all posteriors together from the prior. Neither is known, since q(z) is a mean over all the "
    "data there could be: from N images I(x; z) has a lower bound that cannot exceed log N, and an upper one "
    "(the smaller of leave-one-out and the mean KL; Poole et al. 2019)."
)


def blocks(chosen: Headline) -> list[Block]:
    """Both parts at each D and series; nothing where the sweep did not measure them."""
    table = bounds(chosen)
    if table.empty:
        return []
    shown = table[["series", DIMENSION]].assign(
        **{
            "I(x; z)": [information(*row) for row in table[[LOWER, UPPER, CAP]].itertuples(index=False)],
            "KL(q(z) | p(z))": [distance(*row) for row in table[[KL_LOWER, KL_UPPER]].itertuples(index=False)],
        }
    )
    capped = is_capped(table)
    caption = f"Means over replicates of bounds, nats per image. {counted(chosen.replicates)}."
    said: list[Block] = [Heading("What z carries"), Text(ABOUT), Text(_sentence(table, best_point(chosen)["series"]))]
    if capped.any():
        said.append(
            Note(
                f"At {capped.sum()} of {count(len(table), 'point')} I(x; z) has reached the largest value that the "
                f"images of the test split can show: how much more z carries there, the lower bound cannot say."
            )
        )
    return [*said, Table("information", table, caption, rows=40, shown=shown, folded=True)]


def bounds(chosen: Headline) -> pd.DataFrame:
    """Mean bounds at each D and series: `series`, D and five columns, NaN for what older runs did not record."""
    means = {name: chosen.means(name) for name in (LOWER, UPPER, CAP, KL_LOWER, KL_UPPER)}
    keys = ["series", DIMENSION]
    table: pd.DataFrame = means[LOWER][keys]
    for name, rows in means.items():
        table = table.merge(rows[[*keys, "mean"]].rename(columns={"mean": name}), on=keys, how="left")
    return table.astype(dict.fromkeys(means, float)).sort_values(keys, ignore_index=True)


def is_capped(table: pd.DataFrame) -> pd.Series[bool]:
    """Rows whose lower bound of I(x; z) is within the schema's margin of its cap."""
    return table[LOWER] > table[CAP] - information_margin()


def information(lower: float, upper: float, cap: float) -> str:
    """`at least 6.93 nats (its cap) and at most 46.05`, or `4.41 to 4.52 nats`."""
    if lower > cap - information_margin():
        said = f"at least {figure(lower, 3)} nats (cap log N = {figure(cap, 3)})"
        return f"{said}, at most {figure(upper, 4)}" if np.isfinite(upper) else said
    return _between(lower, upper)


def distance(lower: float, upper: float) -> str:
    """`0 to 39.25 nats`, or `at most 39.25 nats` where no lower bound is known."""
    lower = max(0.0, lower) if np.isfinite(lower) else lower
    return _between(lower, max(0.0, upper)) if np.isfinite(lower) else f"at most {figure(upper, 3)} nats"


def _between(lower: float, upper: float) -> str:
    if not np.isfinite(upper):
        return f"at least {figure(lower, 3)} nats"
    # Noise alone can put the upper one below.
    texts = [figure(lower, 3), figure(max(lower, upper), 3)]
    return f"{texts[0]} nats" if texts[0] == texts[1] else f"{texts[0]} to {texts[1]} nats"


def _sentence(table: pd.DataFrame, series: str) -> str:
    """Both ends of D on the best curve."""
    rows = table[table["series"] == series].sort_values(DIMENSION)
    if rows.empty:  # not measured there
        rows = table[table["series"] == table["series"].iloc[0]].sort_values(DIMENSION)
    ends = rows.iloc[[0, -1]] if len(rows) > 1 else rows
    said = [
        f"at D = {row[DIMENSION]:g} I(x; z) is {information(row[LOWER], row[UPPER], row[CAP])} and KL(q(z) | p(z)) "
        f"{distance(row[KL_LOWER], row[KL_UPPER])}"
        for _, row in ends.iterrows()
    ]
    return f"For {rows['series'].iloc[0]}, {'; '.join(said)}."
