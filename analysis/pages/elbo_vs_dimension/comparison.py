"""Whether each factor matters: differences between trials that share their seeds and everything else."""

from __future__ import annotations

from typing import Any

import pandas as pd

from analysis import figures
from analysis.document.blocks import Block, Figure, Heading, Note, Panel, Table
from analysis.statistics import answers
from analysis.statistics.few_seeds.effects import EQUIVALENT, FIRST, OVERALL, SECOND
from analysis.statistics.few_seeds.verdicts import effect_sentence, level_name
from analysis.statistics.headline import Headline
from analysis.tables import Sweep
from analysis.tables.columns import DIMENSION
from analysis.tables.kinds import KL_ESTIMATOR
from analysis.wording import count, interval, label, listed
from analysis.wording import figure as number

MOST_ROWS = 24
"""Of one figure; with more dimensions and levels it shows the effects over all dimensions alone."""


def blocks(sweep: Sweep, chosen: Headline) -> list[Block]:
    """A section for each factor that the design crosses, and for the KL estimator."""
    return [block for factor in answers.compared_factors(sweep) for block in _section(sweep, chosen, factor)]


def _section(sweep: Sweep, chosen: Headline, factor: str) -> list[Block]:
    """First level minus each other: same seeds, same D, all else equal."""
    heading = Heading(f"Does {'the KL estimator' if factor == KL_ESTIMATOR else factor} matter?", folded=True)
    table, reason = answers.factor_effects(sweep, chosen, factor)
    if reason is not None:
        return [heading, Note(reason)]
    first = level_name(table["first"].iloc[0], factor)
    overall = table["scope"] == OVERALL
    caption = (
        f"Same seed, same D, all other settings equal; to the right of zero, {first} is better. Bars are 95 % "
        "t-intervals for each difference alone: over all D from the differences of each seed, at each D with their "
        f"variance pooled over the dimensions. {count(int(table['p_holm'].notna().sum()), 'comparison')}, judged with "
        "Holm's correction, those over all D and those at each D by themselves. "
        f"n = {_seeds(sorted(set(table['n'])))}."
    )
    names = [_row_name(row, several=table["second"].nunique() > 1) for row in table.to_dict("records")]
    shown = pd.DataFrame(
        {
            "where": names,
            "difference (nats)": [
                interval(*row) for row in table[["difference", "low", "high"]].itertuples(index=False)
            ],
            "seeds": table["n"],
            "p (Holm)": table["p_holm"],
            f"P({first} is better)": [f"{p:.2f}" if p == p else "–" for p in table["probability"]],
            "verdict": [_verdict(row) for row in table.to_dict("records")],
        }
    )
    drawn = table.assign(row=names) if len(table) <= MOST_ROWS else table.assign(row=names)[overall]
    name = "paired_differences" if factor == KL_ESTIMATOR else f"paired_differences_{factor.replace('.', '_')}"
    text = effect_sentence(table, chosen.judged.value)
    figure = Figure((_panel(drawn, factor, name, chosen.judged.value),), caption, text[:1].upper() + text[1:])
    return [heading, figure, Table(name, table, "Every comparison.", rows=40, shown=shown)]


def _seeds(numbers: list[int]) -> str:
    """`3 seeds each`, `2 and 3 seeds`."""
    return f"{count(numbers[0], 'seed')} each" if len(numbers) == 1 else f"{listed(numbers)} seeds"


def _row_name(row: dict[Any, Any], *, several: bool) -> str:
    """`all D`, `D = 8`; with the other level where several are compared."""
    dim = float(row[DIMENSION])
    place = "all D" if dim != dim else f"D = {dim:g}"
    return f"{place}, {level_name(row['second'], str(row['factor']))}" if several else place


def _verdict(row: dict[Any, Any]) -> str:
    """`closed form better`, `no difference larger than 0.5 nats`, `cannot tell yet; 25 seeds would`."""
    verdict, needed, margin = str(row["verdict"]), float(row["seeds_needed"]), float(row["margin"])
    if verdict in (FIRST, SECOND):
        side = "first" if verdict == FIRST else "second"
        return f"{level_name(row[side], str(row['factor']))} better"
    if verdict == EQUIVALENT:
        return f"no difference larger than {number(margin, 2)} nats"
    more = needed - int(row["n"])
    return f"cannot tell yet; {count(int(more), 'more seed')} would" if 0 < more < float("inf") else "cannot tell yet"


def _panel(table: pd.DataFrame, factor: str, name: str, value: str) -> Panel:
    """The differences beside zero, the one over all D on top."""
    rows = table.assign(mean=table["difference"])
    several = table["second"].nunique() > 1
    first, second = (level_name(table[side].iloc[0], factor) for side in ("first", "second"))
    other = ("other estimator" if factor == KL_ESTIMATOR else "each other") if several else second
    title = f"{first[:1].upper()}{first[1:]} minus {other}, same seeds"
    return Panel(
        name,
        lambda axes: figures.forest(
            axes, rows, name="row", title=title, x_label=f"difference in {value} (nats per image)"
        ),
        f"Paired differences in {label(value)} by {factor}, over all latent dimensions and at each",
        (4.8, 1.1 + 0.3 * max(3, len(rows))),
    )
