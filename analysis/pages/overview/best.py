"""The best configurations, each with the number that fresh seeds confirm, or with a warning that none do."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis import statistics, tables
from analysis.document.blocks import Block, Heading, Note, Table, Text
from analysis.pages.common import counted
from analysis.pages.trials.swept import numbers
from analysis.statistics import answers
from analysis.statistics.few_seeds.winner import FRESH, ONLY
from analysis.tables import Sweep
from analysis.tables.columns import BOUND, RANK, varying
from analysis.wording import count, figure, interval, label


def blocks(sweep: Sweep) -> list[Block]:
    """The ten best by the validation bound, and a sentence on the first."""
    heading = Heading("Best configurations")
    joined = tables.joined(sweep)
    if (
        not {BOUND, RANK} <= set(joined.columns)
        or joined.empty
        or not np.isfinite(joined[[BOUND, RANK]]).all(axis=1).any()
    ):
        return [heading, Note(f"No finished trial has both {RANK} and {BOUND}, so nothing can be ranked.")]
    table = statistics.best_configurations(joined, BOUND, rank_by=RANK)
    caption = (
        f"Ranked by mean {label(RANK)} of the trials that chose them; the number is {label(BOUND)} with a 95 % "
        "t-interval over n replicates (variance pooled over configurations that differ in D alone), on the fresh seeds "
        f"of a confirmation where there was one. A number from the seeds that chose it is too good. {counted(joined)}."
    )
    shown = _shown(table, [name for name in varying(joined) if name in table])
    return [
        heading,
        Text(_sentence(table, answers.best_bound(sweep).iloc[0])),
        Table("best_configurations", table, caption, rows=10, shown=shown),
    ]


def _shown(table: pd.DataFrame, varied: list[str]) -> pd.DataFrame:
    """The ranking with the settings that varied."""
    shown = pd.DataFrame(
        {
            "rank": table["rank"],
            "trials": [numbers(text, 6) for text in table["trials"]],
            f"{label(BOUND)} (nats) [95 %]": [
                interval(*row) for row in table[["mean", "low", "high"]].itertuples(index=False)
            ],
            "n": table["n"],
            **{name: table[name] for name in varied},
        }
    )
    if table["confirmed"].any():
        shown["measured on"] = ["fresh seeds" if done else "the seeds that chose it" for done in table["confirmed"]]
    return shown


def _sentence(table: pd.DataFrame, best: pd.Series) -> str:
    """What the first reaches on seeds that had no say, and how sure it is that it is the first."""
    trials = numbers(table.iloc[0]["trials"], 6)
    text = f"The configuration with the best {label(RANK)} (trial {trials}) "
    if not np.isfinite(best["estimate"]):
        shown = figure(best["chosen_mean"])
        return (
            f"{text}shows a {label(BOUND)} of {shown} nats per image, and nothing says how good it is: {best['note']}."
        )
    text += f"reaches a {label(BOUND)} of {interval(best['estimate'], best['low'], best['high'])} nats per image "
    if best["basis"] == FRESH:
        looked = f"{abs(best['optimism']):.2f} nats {'better' if best['optimism'] > 0 else 'worse'}"
        return f"{text}over {count(int(best['n']), 'fresh seed')}; it looked {looked} when it was chosen."
    if best["basis"] == ONLY:
        return f"{text}over {count(int(best['n']), 'seed')}."
    text += (
        f"where each of {count(int(best['readings']), 'seed')} is left out of the choice in turn, "
        f"{abs(best['optimism']):.2f} nats {'less' if best['optimism'] > 0 else 'more'} than on the seeds that chose it"
    )
    if np.isfinite(best["probability_not_best"]):
        text += f"; that another is really the best has probability {best['probability_not_best']:.2f}"
    return f"{text}. {_unchanged(table)}".strip()


def _unchanged(table: pd.DataFrame) -> str:
    """How many of the listed configurations may be as good, by their intervals on the same seeds."""
    first = table.iloc[0]
    close = int((table["high"] >= first["mean"]).iloc[1:].sum())
    if not close:
        return ""
    return f"The intervals of {close} of the next {len(table) - 1} reach its mean: their order is not settled."
