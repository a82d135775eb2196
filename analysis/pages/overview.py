"""Page 1: what was swept, how it ended, what is best, how the search went, where the time went."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis import figures, statistics, tables, theme
from analysis.document import Block, Figure, Heading, Note, Page, Panel, Table, Text, Tiles
from analysis.headline import sizes
from analysis.tables import Sweep
from analysis.wording import axis, count, figure, interval, listed

BOUND, RANK = "test.elbo", "validation.elbo"


def page(sweep: Sweep) -> Page:
    """Outcomes with every reason, the best configurations, the search, the Pareto fronts, the time."""
    blocks = [_tiles(sweep), *_swept(sweep), *_outcomes(sweep), *_best(sweep), *_search(sweep), *_fronts(sweep), *_time(sweep)]
    return Page("overview", "Overview", "", tuple(blocks))


def _tiles(sweep: Sweep) -> Tiles:
    endings = statistics.outcomes(sweep.trials).groupby("outcome")["n"].sum()
    items = [("state", str(sweep.info.get("state", "unknown"))), ("trials", f"{len(sweep.trials):,}")]
    items += [(name, f"{int(endings.get(name, 0)):,}") for name in ("finished", "suspect", "stopped", "failed", "running")]
    items.append(("replicates", f"{len(sweep.replicates):,}"))
    seconds = sweep.info.get("seconds")
    if isinstance(seconds, (int, float)):
        items.append(("elapsed", _duration(float(seconds))))
    return Tiles(tuple(items))


def _swept(sweep: Sweep) -> list[Block]:
    data = sweep.info.get("data")
    data = data if isinstance(data, dict) else {}
    names = sweep.trials["data.name"].unique() if "data.name" in sweep.trials else [data.get("name", "unnamed data")]
    text = f"Data: {listed(list(names))}"
    splits = [f"{data[split]:,} {split}" for split in ("train", "validation", "test") if isinstance(data.get(split), int)]
    text += f" ({listed(splits)} images). " if splits else ". "
    varied = tables.varying(sweep.trials)
    if not varied:
        return [Text(text + "No setting was varied.")]
    rows = [(name, *_range(sweep.trials[name])) for name in varied]
    frame = pd.DataFrame(rows, columns=["key", "values", "distinct"])
    settings = count(len(varied), "setting was", "settings were")
    return [Heading("What was swept"), Text(f"{text}{settings} varied."), Table("swept", frame, "Settings that take more than one value, over all trials.", rows=40)]


def _range(values: pd.Series) -> tuple[str, int]:
    distinct = values.dropna().unique()
    if len(distinct) <= 8:
        try:
            ordered = sorted(distinct)
        except TypeError:
            ordered = list(distinct)
        return ", ".join(figure(v) if isinstance(v, float) else str(v) for v in ordered), len(distinct)
    if pd.api.types.is_numeric_dtype(values):
        return f"{figure(float(values.min()))} to {figure(float(values.max()))}", len(distinct)
    return ", ".join(map(str, distinct[:8])) + ", …", len(distinct)


def _outcomes(sweep: Sweep) -> list[Block]:
    if sweep.trials.empty:
        return [Note("The sweep has no trial yet.")]
    table = statistics.outcomes(sweep.trials)
    shown = table.assign(share=[f"{share:.0%}" for share in table["share"]], trials=[_numbers(text) for text in table["trials"]])
    blocks: list[Block] = [Heading("How the trials ended")]
    if not (sweep.trials["status"] == "finished").any():
        blocks.append(Note("No trial has finished: this report has outcomes and reasons, but no measurements."))
    if sweep.info.get("state") not in (None, "finished", "done", "completed"):
        blocks.append(Note(f"This sweep is {sweep.info['state']}: the report shows the trials that are there so far."))
    caption = f"Every trial counts once; suspect trials have finished but their numbers are in doubt. n = {count(len(sweep.trials), 'trial')}."
    return [*blocks, Table("outcomes", table, caption, rows=200, shown=shown)]


def _numbers(text: str, most: int = 20) -> str:
    numbers = text.split(", ")
    return text if len(numbers) <= most else f"{', '.join(numbers[:most])} and {len(numbers) - most} more"


# --- best -----------------------------------------------------------------------------------------------------------


def _best(sweep: Sweep) -> list[Block]:
    heading = Heading("Best configurations")
    joined = tables.joined(sweep)
    if not {BOUND, RANK} <= set(joined.columns) or joined.empty or not np.isfinite(joined[[BOUND, RANK]]).all(axis=1).any():
        return [heading, Note(f"No finished trial has both {RANK} and {BOUND}, so nothing can be ranked.")]
    table = statistics.best_configurations(joined, BOUND, rank_by=RANK)
    varied = [name for name in tables.varying(joined) if name in table]
    shown = pd.DataFrame(
        {
            "rank": table["rank"],
            "trials": [_numbers(text, 6) for text in table["trials"]],
            f"{BOUND} (nats) [95 %]": [interval(*row) for row in table[["mean", "low", "high"]].itertuples(index=False)],
            "replicates": table["n"],
            **{name: table[name] for name in varied},
            "measured on": ["fresh seeds" if done else "the seeds that chose it" for done in table["confirmed"]],
        }
    )
    caption = (
        f"Ranked by mean {RANK} of the trials that chose them; the number is {BOUND} with a 95 % t-interval over replicates, on the fresh "
        f"seeds of a confirmation where there was one. A number from the seeds that chose it is biased upwards. {sizes(joined)}."
    )
    first = table.iloc[0]
    text = f"The configuration with the best {RANK} (trial {_numbers(first['trials'], 6)}) reaches a {BOUND} of {interval(first['mean'], first['low'], first['high'])} nats per image"
    text += f" over {count(int(first['n']), 'fresh seed')}." if first["confirmed"] else " on the seeds that chose it: a confirmation would be lower."
    return [heading, Text(text), Table("best_configurations", table, caption, rows=10, shown=shown)]


# --- search ---------------------------------------------------------------------------------------------------------


def _search(sweep: Sweep) -> list[Block]:
    panels: list[Panel] = []
    history = statistics.search_history(sweep.trials, RANK)
    said = []
    if len(history) > 1:
        panels.append(
            Panel(
                "search_history",
                lambda axes: figures.search_history(axes, history, y="value", best="best", title="Search history", y_label=f"{RANK} (nats per image)"),
                f"{RANK} of every finished trial in the order of the search, with the best so far",
            )
        )
        last = history[history["is_best"]].iloc[-1]
        said.append(f"the best {RANK} ({figure(last['value'], 5)} nats) came at trial {int(last['trial'])}, number {int(history.index[history['is_best']][-1]) + 1} of {len(history)} that finished")
    importance = sweep.importance.dropna(subset=["importance"]).sort_values("importance", ascending=False)
    if not importance.empty:
        top = importance.head(12)
        panels.append(
            Panel(
                "parameter_importance",
                lambda axes: figures.bars(axes, top, name="parameter", value="importance", title="Parameter importance", x_label=f"share of the variation in {RANK}", texts=[f"{v:.0%}" for v in top["importance"]]),
                "PED-ANOVA importance of every searched parameter",
            )
        )
        said.append(f"{importance.iloc[0]['parameter']} explains most of its variation ({importance.iloc[0]['importance']:.0%})")
    if not panels:
        return [Heading("Search"), Note("Fewer than two trials have finished, so there is no search to show.")]
    caption = f"Trials in the order they were proposed. n = {count(len(history), 'finished trial')}."
    if not importance.empty:
        caption += " Importance is PED-ANOVA's, computed from the study when the sweep wrote its tables; it ranks, it does not prove."
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
        marked = statistics.pareto_front(frame[["trial", "model.latent_dim", BOUND, cost]], maximise=[BOUND], minimise=[cost])
        marked = marked[np.isfinite(marked[[BOUND, cost]]).all(axis=1) & (marked[cost] > 0)]
        if len(marked) < 2:
            continue
        panels.append(
            Panel(f"pareto_{cost.rpartition('.')[2]}", partial(_draw_front, frame=marked, cost=cost, name=name), f"Pareto front of {BOUND} against {name}")
        )
        front = marked[marked["front"]].sort_values(cost)
        said.append(f"{count(len(front), 'trial')} of {len(marked)} {'is' if len(front) == 1 else 'are'} on the front against {cost} (from {figure(front[cost].iloc[0], 3)} to {figure(front[cost].iloc[-1], 3)})")
        written.append(front.rename(columns={cost: "cost"}).assign(against=cost).drop(columns="front"))
    if not panels:
        return []
    caption = "Means over replicates; the front holds the trials that no other beats in both (listed below). The bound is noisy: neighbours on a front are seldom told apart."
    block = Table("pareto_front", pd.concat(written, ignore_index=True), "Trials on the fronts.", rows=24)
    return [Heading("What a better bound costs"), Figure(tuple(panels), caption, _sentence(said)), block]


def _draw_front(axes: Axes, *, frame: pd.DataFrame, cost: str, name: str) -> None:
    title = "Bound against training time" if cost == "seconds.training" else "Bound against its variance"
    figures.front(axes, frame, x=cost, y=BOUND, on_front="front", title=title, x_label=name, y_label=axis(BOUND))


# --- time -----------------------------------------------------------------------------------------------------------


def _time(sweep: Sweep) -> list[Block]:
    table = statistics.time_shares(sweep.trials)
    table = table[table["seconds"] > 0].reset_index(drop=True)
    heading = Heading("Where the time went")
    if table.empty:
        return [heading, Note("No trial has reported its times.")]
    texts = [f"{share:.1%}  ({_duration(seconds)})" for share, seconds in table[["share", "seconds"]].itertuples(index=False)]
    panel = Panel(
        "time",
        lambda axes: figures.bars(axes, table, name="component", value="seconds", title="Seconds by component", x_label="seconds, summed over trials", texts=texts),
        "Seconds spent in each part of the work",
        (7.4, 0.9 + 0.34 * max(3, len(table))),
    )
    overhead = table[table["component"].isin(["orchestration", "tracking"])]["share"].sum()
    first = table.iloc[0]
    sentence = f"{first['component'].capitalize()} took {first['share']:.0%} of the {_duration(table['seconds'].sum())} of work; orchestration and tracking together took {overhead:.1%}."
    return [heading, Figure((panel,), f"Summed over n = {count(int(table['n'].max()), 'trial')}.", sentence), Table("time", table, "Seconds by component.")]


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def _sentence(said: list[Any]) -> str:
    text = "; ".join(map(str, said))
    return f"{text[:1].upper()}{text[1:]}."
