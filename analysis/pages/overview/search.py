"""The middle of page 1: how the search went, and what a better bound costs."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis import figures, statistics
from analysis.document.blocks import Block, Figure, Heading, Note, Panel, Table
from analysis.statistics.headline import BOUND, RANK
from analysis.tables import Sweep
from analysis.wording import axis, count, figure, label

FEW_TRIALS = 30
WORDS = {"seconds.training": "training time", "variance": "the variance of a one-draw ELBO"}
UNITS = {"seconds.training": "seconds", "variance": "nats²"}


def blocks(sweep: Sweep) -> list[Block]:
    """Search history, parameter importance, Pareto fronts."""
    return [*_search(sweep), *_fronts(sweep)]


def _search(sweep: Sweep) -> list[Block]:
    panels: list[Panel] = []
    history = statistics.search_history(sweep.trials, RANK)
    said = []
    if len(history) > 1:
        panels.append(
            Panel(
                "search_history",
                lambda axes: figures.search_history(
                    axes, history, y="value", best="best", title="Search history", y_label=f"{RANK} (nats per image)"
                ),
                f"{label(RANK)} of every finished trial in the order of the search, with the best so far",
            )
        )
        last = history[history["is_best"]].iloc[-1]
        said.append(
            f"the best {label(RANK)} ({figure(last['value'], 4)} nats) is trial {int(last['trial'])}'s, "
            f"number {int(history.index[history['is_best']][-1]) + 1} of {len(history)} that finished"
        )
    importance = sweep.importance.dropna(subset=["importance"]).sort_values("importance", ascending=False)
    if not importance.empty and panels:
        top = importance.head(12)
        panels.append(
            Panel(
                "parameter_importance",
                lambda axes: figures.bars(
                    axes,
                    top,
                    name="parameter",
                    value="importance",
                    title="Parameter importance",
                    x_label=f"share of the variation in {RANK}",
                    texts=[f"{v:.0%}" for v in top["importance"]],
                ),
                "PED-ANOVA importance of every searched parameter",
            )
        )
        said.append(
            f"the largest share of its variation, {importance.iloc[0]['importance']:.0%}, goes with "
            f"{importance.iloc[0]['parameter']}{_thin(len(history))}"
        )
    if not panels:
        return [Heading("Search"), Note("Fewer than two trials have finished, so there is no search to show.")]
    caption = f"Trials in the order they were proposed. n = {count(len(history), 'finished trial')}."
    if not importance.empty:
        caption += (
            " Importance is PED-ANOVA's, computed from the study when the sweep wrote its tables; it "
            "ranks, it does not prove."
        )
    else:
        caption += " The sweep wrote no parameter importance (it needs a search)."
    return [Heading("Search"), Figure(tuple(panels), caption, _sentence(said))]


def _fronts(sweep: Sweep) -> list[Block]:
    """Bound against seconds of training, and against the Monte Carlo variance of the ELBO."""
    done = sweep.trials[sweep.trials["status"] == "finished"]
    if BOUND not in done or len(done) < 2:
        return []
    costs: dict[str, tuple[str, pd.DataFrame]] = {}
    if "seconds.training" in done:
        costs["seconds.training"] = ("seconds.training (seconds per trial)", done)
    rows = sweep.variance
    rows = rows[(rows["quantity"] == "elbo_monte_carlo") & (rows["sampling"] == "iid") & (rows["num_samples"] == 1)]
    if not rows.empty:
        variance = rows.groupby("trial", as_index=False)["variance"].mean()
        costs["variance"] = ("variance of one-draw ELBO (nats²)", done.merge(variance, on="trial"))
    panels, said, written = [], [], []
    for cost, (name, frame) in costs.items():
        marked = statistics.pareto_front(
            frame[["trial", "model.latent_dim", BOUND, cost]], maximise=[BOUND], minimise=[cost]
        )
        marked = marked[np.isfinite(marked[BOUND]) & np.isfinite(marked[cost]) & (marked[cost] > 0)]
        if len(marked) < 2:
            continue
        panels.append(
            Panel(
                f"pareto_{cost.rpartition('.')[2]}",
                partial(_draw_front, frame=marked, cost=cost, name=name),
                f"Pareto front of {BOUND} against {name}",
            )
        )
        front = marked[marked["front"]].sort_values(cost)
        ends = [figure(front[cost].iloc[place], 3) for place in (0, -1)]
        said.append(
            f"{count(len(front), 'trial')} of {len(marked)} {'is' if len(front) == 1 else 'are'} on the front against "
            f"{WORDS[cost]} ({f'from {ends[0]} to {ends[1]}' if len(front) > 1 else ends[0]} {UNITS[cost]})"
        )
        written.append(front.rename(columns={cost: "cost"}).assign(against=cost).drop(columns="front"))
    if not panels:
        return []
    caption = (
        "Means over replicates; the front holds the trials that no other beats in both (listed "
        "below). The bound is noisy: neighbours on a front are seldom told apart."
    )
    block = Table("pareto_front", pd.concat(written, ignore_index=True), "Trials on the fronts.", rows=24, folded=True)
    return [Heading("What a better bound costs"), Figure(tuple(panels), caption, _sentence(said)), block]


def _draw_front(axes: Axes, *, frame: pd.DataFrame, cost: str, name: str) -> None:
    title = "Bound against training time" if cost == "seconds.training" else "Bound against its variance"
    figures.front(axes, frame, x=cost, y=BOUND, on_front="front", title=title, x_label=name, y_label=axis(BOUND))


def _thin(trials: int) -> str:
    return f" (from {trials} trials: too few to lean on)" if trials < FEW_TRIALS else ""


def _sentence(said: list[Any]) -> str:
    text = "; ".join(map(str, said))
    return f"{text[:1].upper()}{text[1:]}."
