"""How the search went: every trial in its order, and which parameters mattered."""

from __future__ import annotations

import pandas as pd

from analysis import figures, statistics
from analysis.document.blocks import Block, Figure, Heading, Note, Panel, Text
from analysis.tables import Sweep
from analysis.tables.columns import CONFIRM, FACTORIAL, FINISHED, RANK, SEARCH, unit_of
from analysis.wording import count, figure, label, listed

FEW_TRIALS = 30
"""With fewer trials of the search no importance is shown, and the report says that it cannot know."""


def blocks(sweep: Sweep) -> list[Block]:
    """Search history and parameter importance."""
    objectives = _objectives(sweep)
    searched = sweep.trials[sweep.trials["phase"] != CONFIRM]  # a confirmation repeats a choice, and makes none
    metric, mode = next(iter(objectives.items()))
    metric, mode = (metric, mode) if metric in searched else (RANK, "max")
    history = statistics.search_history(searched, metric, maximise=mode == "max")
    if len(history) < 2:
        return [Heading("Search"), Note("Fewer than two trials have finished, so there is no search to show.")]
    if (history["phase"] == FACTORIAL).all():
        return [Heading("Search"), Text("The design set every trial, so their order tells nothing: no search to show.")]
    panels, said = [_history(history, metric)], [_best(history, metric)]
    caption = f"Trials in the order they were proposed. n = {count(len(history), 'finished trial')}."
    if len(objectives) > 1:
        said.append(_front(searched, objectives))
    importance = _searched(sweep)
    visited = int((history["phase"] == SEARCH).sum())
    if not importance.empty:
        panels.append(_importance(importance.head(12), metric))
        top = importance.iloc[0]
        said.append(
            f"among {count(visited, 'trial')} of the search, the largest share of the variation in {label(metric)}, "
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


def _objectives(sweep: Sweep) -> dict[str, str]:
    """What the search maximised or minimised, in its order; the first ranks trials wherever one number has to."""
    search = (sweep.info.get("spec") or {}).get("search")
    search = search if isinstance(search, dict) else {}
    several = search.get("objectives")
    if isinstance(several, dict) and several:
        return {str(name): str(mode) for name, mode in several.items()}
    return {str(search.get("metric", RANK)): str(search.get("mode", "max"))}


def _front(trials: pd.DataFrame, objectives: dict[str, str]) -> str:
    """All objectives by name, and the trials that no other beats in all of them."""
    names = listed(
        [f"{label(name)} ({'maximised' if mode == 'max' else 'minimised'})" for name, mode in objectives.items()]
    )
    text = f"the search had {len(objectives)} objectives, {names}"
    done = trials[trials["status"] == FINISHED]
    if not set(objectives) <= set(done.columns):
        return f"{text}, of which the tables lack some: its front cannot be shown"
    marked = statistics.pareto_front(
        done,
        maximise=[name for name, mode in objectives.items() if mode == "max"],
        minimise=[name for name, mode in objectives.items() if mode != "max"],
    )
    front = sorted(int(number) for number in marked.loc[marked["front"], "trial"])
    return f"{text}; on their front {count(len(front), 'trial lies', 'trials lie')} ({listed(front, most=12)})"


def _history(history: pd.DataFrame, metric: str) -> Panel:
    """Every finished trial, with the best so far."""
    y = figures.Axis("value", f"{metric} ({unit_of(metric)}{' per image' if unit_of(metric) == 'nats' else ''})")
    return Panel(
        "search_history",
        lambda axes: figures.search_history(axes, history, y=y, best="best", title="Search history"),
        f"{label(metric)} of every finished trial in the order of the search, with the best so far",
    )


def _best(history: pd.DataFrame, metric: str) -> str:
    """Which trial is the best, and when it came."""
    last = history[history["is_best"]].iloc[-1]
    place = int(history.index[history["is_best"]][-1]) + 1
    return (
        f"the best {label(metric)} ({figure(last['value'], 4)} {unit_of(metric)}) is trial {int(last['trial'])}'s, "
        f"number {place} of {len(history)} that finished"
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


def _importance(top: pd.DataFrame, metric: str) -> Panel:
    """A bar for each parameter, and what shuffled values would show."""
    x = figures.Axis("importance", f"share of the variation in {metric}")
    texts = [
        f"{share:.0%} (shuffled {null:.0%})" for share, null in top[["importance", "null"]].itertuples(index=False)
    ]
    return Panel(
        "parameter_importance",
        lambda axes: figures.bars(axes, top, name="parameter", x=x, texts=texts, title="Parameter importance"),
        "PED-ANOVA importance of every searched parameter, beside that of shuffled values",
    )
