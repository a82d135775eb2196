"""The best configurations, each with the number that fresh seeds confirm, or with a warning that none do."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis import statistics, tables
from analysis.document.blocks import Block, Heading, Note, Table, Text
from analysis.pages.common import counted
from analysis.pages.trials.swept import numbers
from analysis.statistics import answers
from analysis.statistics.bounds import comparable, judged_by
from analysis.statistics.few_seeds.winner import FRESH, ONLY
from analysis.tables import Sweep
from analysis.tables.columns import CONFIRM, varying
from analysis.wording import count, figure, interval, label


def blocks(sweep: Sweep) -> list[Block]:
    """The ten best by the validation bound, and a sentence on the first."""
    heading = Heading("Best configurations")
    (joined, among), (value, rank, _) = comparable(tables.joined(sweep)), judged_by(sweep)
    if (
        not {value, rank} <= set(joined.columns)
        or joined.empty
        or not np.isfinite(joined[[value, rank]]).all(axis=1).any()
    ):
        return [heading, Note(f"No finished trial has both {rank} and {value}, so nothing can be ranked.")]
    table = statistics.best_configurations(joined, value, rank_by=rank)
    caption = (
        f"{f'Among trials with {among}. ' if among else ''}"
        f"Ranked by mean {label(rank)} of the trials that chose them; the number is {label(value)} with a 95 % "
        "t-interval over n replicates (variance pooled over configurations that differ in D alone), on the fresh seeds "
        f"of a confirmation where there was one. A number from the seeds that chose it is too good. {counted(joined)}."
    )
    shown = _shown(table, [name for name in varying(joined) if name in table], value)
    return [
        heading,
        Text(_sentence(table, answers.best_bound(sweep).iloc[0], _incumbent(sweep, rank))),
        Table("best_configurations", table, caption, rows=10, shown=shown),
    ]


def _shown(table: pd.DataFrame, varied: list[str], value: str) -> pd.DataFrame:
    """The ranking with the settings that varied."""
    shown = pd.DataFrame(
        {
            "rank": table["rank"],
            "trials": [numbers(text, 6) for text in table["trials"]],
            f"{label(value)} (nats) [95 %]": [
                interval(*row) for row in table[["mean", "low", "high"]].itertuples(index=False)
            ],
            "n": table["n"],
            **{name: table[name] for name in varied},
        }
    )
    if table["confirmed"].any():
        shown["measured on"] = ["fresh seeds" if done else "the seeds that chose it" for done in table["confirmed"]]
    return shown


def _sentence(table: pd.DataFrame, best: pd.Series, incumbent: str) -> str:
    """What the first reaches on seeds that had no say, and how sure it is that it is the first."""
    trials = numbers(table.iloc[0]["trials"], 6)
    bound, text = label(best["value"]), f"The configuration with the best {label(best['rank'])} (trial {trials}) "
    if not np.isfinite(best["estimate"]):
        shown = figure(best["chosen_mean"])
        return f"{text}shows a {bound} of {shown} nats per image, and nothing says how good it is: {best['note']}."
    text += f"reaches a {bound} of {interval(best['estimate'], best['low'], best['high'])} nats per image "
    if best["basis"] == FRESH:
        looked = f"{abs(best['optimism']):.2f} nats {'better' if best['optimism'] > 0 else 'worse'}"
        return f"{text}over {count(int(best['n']), 'fresh seed')}; it looked {looked} when it was chosen."
    if best["basis"] == ONLY:
        return f"{text}over {count(int(best['n']), 'seed')}."
    optimism = float(best["optimism"])
    apart = f"{abs(optimism):.2f} nats {'less' if optimism > 0 else 'more'} than" if abs(optimism) >= 0.005 else "as"
    text += f"where each of {count(int(best['readings']), 'seed')} is left out of the choice in turn, "
    text += f"{apart} on the seeds that chose it"
    if np.isfinite(best["probability_not_best"]):
        text += f"; that another is really the best has probability {best['probability_not_best']:.2f}"
    return f"{text}{incumbent}. {_unchanged(table)}".strip()


def _incumbent(sweep: Sweep, rank: str) -> str:
    """How often a further trial left the best so far what it was: where nearly always, more trials buy little."""
    searched, _ = comparable(sweep.trials[sweep.trials["phase"] != CONFIRM])
    kept, further = statistics.incumbent_kept(statistics.search_history(searched, rank))
    said = f"; the best so far did not change after {kept} of the {further} trials after the first"
    return said if further > 1 else ""


def _unchanged(table: pd.DataFrame) -> str:
    """How many of the listed configurations may be as good, by their intervals on the same seeds."""
    first = table.iloc[0]
    close = int((table["high"] >= first["mean"]).iloc[1:].sum())
    if not close:
        return ""
    return f"The intervals of {close} of the next {len(table) - 1} reach its mean: their order is not settled."
