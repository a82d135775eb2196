"""Whether the closed form predicts the measured variance of k1."""

from __future__ import annotations

from analysis import figures, statistics
from analysis.document.blocks import Block, Figure, Heading, Panel, Table, Text
from analysis.pages.common import shared_draws, with_dimension
from analysis.tables import Sweep
from analysis.wording import count


def blocks(sweep: Sweep) -> list[Block]:
    """Measured over predicted variance of every trial; nothing where it was not studied."""
    ratios = statistics.predicted_vs_measured(with_dimension(sweep, "replicates"))
    if ratios.empty:
        return []
    share = statistics.share_containing_one(ratios).iloc[0]
    certainty = shared_draws(sweep) or f" (95 % interval of that share: {share['low']:.0%} to {share['high']:.0%})"
    x, y = figures.Axis("trial", "trial"), figures.Axis("ratio", "variance.k1_ratio")
    panel = Panel(
        "k1_ratio",
        lambda axes: figures.ratios(axes, ratios, x=x, y=y, title="k1: measured variance over its closed form"),
        "Measured over predicted variance of k1 for every trial",
        (4.8, 3.2),
    )
    caption = f"It must be 1. Bars: 99 % intervals from the draws' own errors. n = {count(len(ratios), 'trial')}."
    have, their = ("has", "its") if share["inside"] == 1 else ("have", "their")
    sentence = (
        f"{share['inside']:g} of {count(len(ratios), 'trial')} ({share['share']:.0%}) {have} 1 in {their} 99 % "
        f"interval, where chance alone would leave out {0.01 * share['n']:.1f}{certainty}."
    )
    heading = Heading("Does the closed form predict it?", folded=len(ratios) > 1)
    table = Table("k1_ratio", ratios, "Measured over predicted variance of k1.", rows=12, folded=True)
    if len(ratios) == 1:
        return [heading, Text(sentence), table]
    return [heading, Figure((panel,), caption, sentence), table]
