"""Page 1: what was swept, how it ended, what is best, how the search went, where the time went."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis import figures, statistics, tables
from analysis.document.blocks import Block, Figure, Heading, Note, Page, Panel, Table, Text, Tiles
from analysis.pages.overview import answers as summary
from analysis.pages.overview import search
from analysis.statistics.headline import BOUND, RANK, sizes
from analysis.tables import Sweep
from analysis.wording import count, figure, interval, label, listed


def page(sweep: Sweep) -> Page:
    """Outcomes with every reason, the best configurations, the search, the Pareto fronts, the time."""
    blocks = [
        *summary.blocks(sweep),
        _tiles(sweep),
        *_swept(sweep),
        *_outcomes(sweep),
        *_best(sweep),
        *search.blocks(sweep),
        *_time(sweep),
    ]
    return Page("overview", "Overview", "", tuple(blocks))


def _tiles(sweep: Sweep) -> Tiles:
    endings = statistics.outcomes(sweep.trials).groupby("outcome")["n"].sum()
    items = [("trials", f"{len(sweep.trials):,}")]
    items += [
        (name, f"{int(endings.get(name, 0)):,}") for name in ("finished", "suspect", "stopped", "failed", "running")
    ]
    items.append(("replicates", f"{len(sweep.replicates):,}"))
    seconds = sweep.info.get("seconds")
    if isinstance(seconds, (int, float)):
        items.append(("elapsed", _duration(float(seconds))))
    return Tiles(tuple(items))


def _swept(sweep: Sweep) -> list[Block]:
    data = sweep.info.get("data")
    data = data if isinstance(data, dict) else {}
    names = sweep.trials["data.name"].unique() if "data.name" in sweep.trials else [data.get("name", "unnamed data")]
    text = f"State: {sweep.info.get('state', 'unknown')}. Data: {listed(list(names))}"
    splits = [
        f"{data[split]:,} {split}" for split in ("train", "validation", "test") if isinstance(data.get(split), int)
    ]
    text += f" ({listed(splits)} images). " if splits else ". "
    varied = tables.varying(sweep.trials)
    if not varied:
        return [Text(text + "No setting was varied.")]
    rows = [(name, *_range(sweep.trials[name])) for name in varied]
    frame = pd.DataFrame(rows, columns=["key", "values", "distinct"])
    settings = count(len(varied), "setting was", "settings were")
    return [
        Heading("What was swept"),
        Text(f"{text}{settings} varied."),
        Table("swept", frame, "Settings that take more than one value, over all trials.", rows=40),
    ]


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
    shown = table.assign(
        share=[f"{share:.0%}" for share in table["share"]], trials=[_numbers(text) for text in table["trials"]]
    )
    blocks: list[Block] = [Heading("How the trials ended")]
    if not (sweep.trials["status"] == "finished").any():
        blocks.append(Note("No trial has finished: this report has outcomes and reasons, but no measurements."))
    if sweep.info.get("state") not in (None, "finished", "done", "completed"):
        blocks.append(Note(f"This sweep is {sweep.info['state']}: the report shows the trials that are there so far."))
    caption = (
        "Every trial counts once; suspect trials have finished but their numbers are in doubt. n = "
        f"{count(len(sweep.trials), 'trial')}."
    )
    return [*blocks, Table("outcomes", table, caption, rows=200, shown=shown)]


def _numbers(text: str, most: int = 20) -> str:
    numbers = text.split(", ")
    return text if len(numbers) <= most else f"{', '.join(numbers[:most])} and {len(numbers) - most} more"


# --- best -----------------------------------------------------------------------------------------------------------


def _best(sweep: Sweep) -> list[Block]:
    heading = Heading("Best configurations")
    joined = tables.joined(sweep)
    if (
        not {BOUND, RANK} <= set(joined.columns)
        or joined.empty
        or not np.isfinite(joined[[BOUND, RANK]]).all(axis=1).any()
    ):
        return [heading, Note(f"No finished trial has both {RANK} and {BOUND}, so nothing can be ranked.")]
    table = statistics.best_configurations(joined, BOUND, rank_by=RANK)
    varied = [name for name in tables.varying(joined) if name in table]
    shown = pd.DataFrame(
        {
            "rank": table["rank"],
            "trials": [_numbers(text, 6) for text in table["trials"]],
            f"{label(BOUND)} (nats) [95 %]": [
                interval(*row) for row in table[["mean", "low", "high"]].itertuples(index=False)
            ],
            "n": table["n"],
            **{name: table[name] for name in varied},
        }
    )
    if table["confirmed"].any():
        shown["measured on"] = ["fresh seeds" if done else "the seeds that chose it" for done in table["confirmed"]]
    caption = (
        f"Ranked by mean {label(RANK)} of the trials that chose them; the number is {label(BOUND)} with a 95 % "
        "t-interval over n replicates, on the fresh seeds of a confirmation where there was one. A number from the "
        f"seeds that chose it is biased upwards. {sizes(joined)}."
    )
    first = table.iloc[0]
    text = (
        f"The configuration with the best {label(RANK)} (trial {_numbers(first['trials'], 6)}) reaches a "
        f"{label(BOUND)} of {interval(first['mean'], first['low'], first['high'])} nats per image"
    )
    text += (
        f" over {count(int(first['n']), 'fresh seed')}."
        if first["confirmed"]
        else " on the seeds that chose it: expect less on fresh ones."
    )
    close = int(((table["high"] >= first["low"]) & (table["low"] <= first["high"])).sum()) - 1
    if close > 0:
        text += f" The intervals of {close} of the next {len(table) - 1} overlap with it: their order is not settled."
    return [heading, Text(text), Table("best_configurations", table, caption, rows=10, shown=shown)]


# --- time -----------------------------------------------------------------------------------------------------------


def _time(sweep: Sweep) -> list[Block]:
    table = statistics.time_shares(sweep.trials)
    table = table[table["seconds"] > 0].reset_index(drop=True)
    heading = Heading("Where the time went")
    if table.empty:
        return [heading, Note("No trial has reported its times.")]
    texts = [
        f"{share:.1%}  ({_duration(seconds)})" for share, seconds in table[["share", "seconds"]].itertuples(index=False)
    ]
    panel = Panel(
        "time",
        lambda axes: figures.bars(
            axes,
            table,
            name="component",
            value="seconds",
            title="Seconds by component",
            x_label="seconds, summed over trials",
            texts=texts,
        ),
        "Seconds spent in each part of the work",
        (4.8, 0.9 + 0.3 * max(3, len(table))),
    )
    overhead = table[table["component"].isin(["suggestion", "orchestration", "tracking"])]["share"].sum()
    first = table.iloc[0]
    sentence = (
        f"{first['component'].capitalize()} took {first['share']:.0%} of the "
        f"{_duration(table['seconds'].sum())} of work; suggestion, orchestration and tracking together took "
        f"{overhead:.1%}."
    )
    return [
        heading,
        Figure((panel,), f"Summed over n = {count(int(table['n'].max()), 'trial')}.", sentence),
        Table("time", table, "Seconds by component.", folded=True),
    ]


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
