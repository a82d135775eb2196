"""How the search went: every trial in its order, and which parameters mattered."""

from __future__ import annotations

import pandas as pd

from analysis import figures, statistics
from analysis.document.blocks import Block, Figure, Heading, Note, Panel, Text
from analysis.tables import Sweep
from analysis.tables.columns import FACTORIAL, RANK, SEARCH
from analysis.wording import count, figure, label

FEW_TRIALS = 30
"""With fewer trials of the search no importance is shown, and the report says that it cannot know."""


def blocks(sweep: Sweep) -> list[Block]:
    """Search history and parameter importance."""
    history = statistics.search_history(sweep.trials, RANK)
    if len(history) < 2:
        return [Heading("Search"), Note("Fewer than two trials have finished, so there is no search to show.")]
    if (history["phase"] == FACTORIAL).all():
        return [Heading("Search"), Text("The design set every trial, so their order tells nothing: no search to show.")]
    panels, said = [_history(history)], [_best(history)]
    caption = f"Trials in the order they were proposed. n = {count(len(history), 'finished trial')}."
    importance = _searched(sweep)
    visited = int((history["phase"] == SEARCH).sum())
    if not importance.empty:
        panels.append(_importance(importance.head(12)))
        top = importance.iloc[0]
        said.append(
            f"among {count(visited, 'trial')} of the search, the largest share of the variation, "
            f"{top['importance']:.0%}, goes with {top['parameter']} (with shuffled values: {top['null']:.0%})"
        )
        caption += (
            " Importance is PED-ANOVA's (Watanabe and others 2023) over the search's trials alone; beside it its mean "
            "over shuffles of their values, which a share must exceed to say anything."
        )
    elif visited:
        said.append(_unknown(visited, designed=bool((history["phase"] == FACTORIAL).any())))
    text = "; ".join(said)
    return [Heading("Search", folded=True), Figure(tuple(panels), caption, f"{text[:1].upper()}{text[1:]}.")]


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


def _searched(sweep: Sweep) -> pd.DataFrame:
    """The importance of parameters, where the table rests on the trials of the search alone and on enough of them.

    Tables of earlier versions mixed the design into it, which puts whatever the design held fixed on top.
    """
    table = sweep.importance
    if not {"null", "trials"} <= set(table.columns):
        return table.head(0)
    kept = table[(table["trials"] >= FEW_TRIALS) & table["importance"].notna()]
    return kept.sort_values("importance", ascending=False)


def _unknown(visited: int, *, designed: bool) -> str:
    """Why no parameter is said to matter most."""
    if visited < FEW_TRIALS:
        text = f"which parameter matters most, {count(visited, 'trial')} of a search cannot tell ({FEW_TRIALS} might)"
        return f"{text}; factors of the design are compared below" if designed else text
    return "which parameter matters most cannot be said: the tables hold no importance of the search's trials alone"


def _importance(top: pd.DataFrame) -> Panel:
    """A bar for each parameter, and what shuffled values would show."""
    x = figures.Axis("importance", f"share of the variation in {RANK}")
    texts = [
        f"{share:.0%} (shuffled {null:.0%})" for share, null in top[["importance", "null"]].itertuples(index=False)
    ]
    return Panel(
        "parameter_importance",
        lambda axes: figures.bars(axes, top, name="parameter", x=x, texts=texts, title="Parameter importance"),
        "PED-ANOVA importance of every searched parameter, beside that of shuffled values",
    )
