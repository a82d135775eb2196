"""Which latent dimension is best, in a table: the probability of each D on each curve."""

from __future__ import annotations

import pandas as pd

from analysis.document.blocks import Block, Note, Table
from analysis.statistics import answers
from analysis.statistics.few_seeds.best_dimension import NAMED_FROM
from analysis.statistics.headline import Headline
from analysis.tables.columns import DIMENSION
from analysis.wording import figure, interval, listed


def blocks(chosen: Headline) -> list[Block]:
    """P(best) and P(D* is no larger) for each D; nothing where there is one D."""
    if len(chosen.dimensions) < 2:
        return []
    table = answers.which_dimension(chosen)
    reasons = table[table["probability_best"].isna()].drop_duplicates("series")
    reasons = reasons[~reasons["series"].isin(table.loc[table["probability_best"].notna(), "series"])]
    silent: list[Block] = [
        Note(f"Which D is best on the curve {name}, this sweep cannot say: {note}.")
        for name, note in reasons[["series", "note"]].itertuples(index=False)
    ]
    known = table[table["probability_best"].notna()]
    if known.empty:
        return silent
    means = (
        chosen.means(chosen.judged.value)
        .set_index(["series", DIMENSION])
        .loc[list(zip(known["series"], known[DIMENSION]))]
    )
    shown = pd.DataFrame(
        {
            "series": known["series"],
            "D": known[DIMENSION],
            "mean (nats) [95 %]": [interval(*row) for row in means[["mean", "low", "high"]].itertuples(index=False)],
            "P(D is best)": [f"{p:.2f}" for p in known["probability_best"]],
            "P(D is D*)": [f"{p:.2f}" for p in known["probability_sufficient"]],
            "P(D* is no larger)": [f"{p:.2f}" for p in known["probability_at_most"]],
            "n": known["n"],
            "note": known["note"],
        }
    )
    if not known["note"].any():
        shown = shown.drop(columns="note")
    allowed = listed([figure(tolerance, 2) for tolerance in known["tolerance"].drop_duplicates()])
    caption = (
        "Probabilities of the means given these seeds (Student's t around each, one variance a curve). D*: the "
        f"smallest D whose mean is within one pooled seed standard deviation ({allowed} nats) of the best."
    )
    if known["n"].min() < NAMED_FROM:
        caption += f" From fewer than {NAMED_FROM} seeds P(D is D*) claims too much: read the interval alone."
    return [*silent, Table("which_dimension", table, caption, rows=40, shown=shown, folded=True)]
