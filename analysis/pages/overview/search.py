"""How the search went: every trial in its order, and which parameters mattered."""

from __future__ import annotations

import pandas as pd

from analysis import figures, statistics
from analysis.document.blocks import Block, Figure, Heading, Note, Panel
from analysis.tables import Sweep
from analysis.tables.columns import RANK
from analysis.wording import count, figure, label

FEW_TRIALS = 30
"""With fewer trials an importance is not worth leaning on, and the report says so."""


def blocks(sweep: Sweep) -> list[Block]:
    """Search history and parameter importance."""
    history = statistics.search_history(sweep.trials, RANK)
    if len(history) < 2:
        return [Heading("Search"), Note("Fewer than two trials have finished, so there is no search to show.")]
    panels, said = [_history(history)], [_best(history)]
    importance = sweep.importance.dropna(subset=["importance"]).sort_values("importance", ascending=False)
    caption = f"Trials in the order they were proposed. n = {count(len(history), 'finished trial')}."
    if importance.empty:
        caption += " The sweep wrote no parameter importance (it needs a search)."
    else:
        panels.append(_importance(importance.head(12)))
        few = f" (from {len(history)} trials: too few to lean on)" if len(history) < FEW_TRIALS else ""
        said.append(
            f"the largest share of its variation, {importance.iloc[0]['importance']:.0%}, goes with "
            f"{importance.iloc[0]['parameter']}{few}"
        )
        caption += (
            " Importance is PED-ANOVA's, computed from the study when the sweep wrote its tables; it "
            "ranks, it does not prove."
        )
    text = "; ".join(said)
    return [Heading("Search"), Figure(tuple(panels), caption, f"{text[:1].upper()}{text[1:]}.")]


def _history(history: pd.DataFrame) -> Panel:
    """Every finished trial, with the best so far."""
    y = figures.Axis("value", f"{RANK} (nats per image)")
    return Panel(
        "search_history",
        lambda axes: figures.search_history(axes, history, y=y, best="best", title="Search history"),
        f"{label(RANK)} of every finished trial in the order of the search, with the best so far",
    )


def _best(history: pd.DataFrame) -> str:
    """Which trial is the best, and when it came."""
    last = history[history["is_best"]].iloc[-1]
    return (
        f"the best {label(RANK)} ({figure(last['value'], 4)} nats) is trial {int(last['trial'])}'s, "
        f"number {int(history.index[history['is_best']][-1]) + 1} of {len(history)} that finished"
    )


def _importance(top: pd.DataFrame) -> Panel:
    """A bar for each parameter."""
    x = figures.Axis("importance", f"share of the variation in {RANK}")
    texts = [f"{share:.0%}" for share in top["importance"]]
    return Panel(
        "parameter_importance",
        lambda axes: figures.bars(axes, top, name="parameter", x=x, texts=texts, title="Parameter importance"),
        "PED-ANOVA importance of every searched parameter",
    )
