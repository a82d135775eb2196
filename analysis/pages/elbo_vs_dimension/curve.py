"""The curve: test ELBO against the latent dimension, with D*, a floor without z, and the exact linear curve."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis import figures
from analysis.document.blocks import Figure, Panel
from analysis.figures import theme
from analysis.pages.common import counted, floor_without_z, spread, sufficient
from analysis.statistics import bounds
from analysis.statistics.answers import best_curve, best_point
from analysis.statistics.bounds import Judged
from analysis.statistics.few_seeds.best_dimension import NAMED_FROM
from analysis.statistics.headline import BEST, CELL, Headline
from analysis.tables import Sweep
from analysis.tables.columns import BOUND, DIMENSION
from analysis.tables.kinds import places
from analysis.wording import axis, interval, label
from analysis.wording import figure as number

BITS = "test.bits_per_dim"


@dataclass(frozen=True, eq=False)
class Curve:
    """What the figure shows, computed from the tables."""

    chosen: Headline
    means: pd.DataFrame
    best: pd.Series
    """D* of the curve with the highest mean: a row of `sufficient_dimension`."""
    floor: float
    """Nats of a histogram of each pixel, which uses no z; NaN where the sweep has none."""
    ppca: pd.DataFrame
    """Rows of the references: the exact curve of linear models."""
    linear: bool
    """Whether it is drawn: there are linear models. Beside others its two ends are written, where there is room."""
    nats_per_bit: float | None


def bound(sweep: Sweep, chosen: Headline) -> Figure:
    """Test ELBO against D for each KL estimator and L, with the z-free floor and the exact pPCA curve."""
    curve = Curve(
        chosen,
        chosen.means(chosen.judged.value),
        best_curve(chosen),
        np.nan if bounds.densities(chosen.replicates).any() else floor_without_z(sweep),
        _ppca(sweep),
        bool(chosen.replicates.get("model.network.name", pd.Series(dtype=object)).eq("linear").any()),
        _nats_per_bit(chosen),
    )
    panel = Panel(
        "elbo_vs_dimension",
        lambda axes: _draw(axes, curve),
        f"{_title(chosen)} against the latent dimension, one curve a setting",
        theme.ALONE,
    )
    caption = (
        "Higher is better. Small marks are replicates, large marks their mean with a 95 % "
        "t-interval for new seeds on these images, whose variance is pooled over each curve (dashed: from fewer than "
        "3 degrees of freedom); series are set side by side "
        f"at each D. {'No z: a histogram of each pixel. ' if np.isfinite(curve.floor) else ''}"
        f"{'Exact pPCA: what a linear model reaches at most. ' if len(curve.ppca) else ''}"
        f"{chosen.basis} {counted(chosen.replicates)}."
    )
    return Figure((panel,), caption, sentence(curve.means, curve.best, curve.floor, best_point(chosen), chosen.judged))


def _draw(axes: Axes, curve: Curve) -> None:
    """References first, then the curve, then the mark of D* and the scale in bits."""
    chosen, best = curve.chosen, curve.best
    if curve.linear and not curve.ppca.empty:
        figures.reference_curve(axes, curve.ppca, x=DIMENSION, y="nats", text=label("ppca"))
    against_dimension(axes, chosen, chosen.judged.value, title=_title(chosen), means=curve.means)
    _draw_references(axes, curve)
    if len(chosen.series) == 1 and np.isfinite(best["sufficient"]) and best["seeds"] >= NAMED_FROM:
        figures.mark(axes, best["sufficient"], best["low"], best["high"], f"D* = {best['sufficient']:g}")
    if curve.nats_per_bit is not None:
        figures.second_axis(axes, curve.nats_per_bit)


def against_dimension(axes: Axes, chosen: Headline, value: str, *, title: str, means: pd.DataFrame) -> None:
    """A metric of the chosen replicates against D, one line per series."""
    kind = None if BEST in chosen.series or chosen.judged.num_importance_samples else CELL[0]
    ordered = list(chosen.series)
    if kind is not None:
        at = places(kind, [key[0] for key in chosen.series.values()])
        ordered = [name for _, name in sorted(zip(at, ordered), key=lambda pair: pair[0])]
    looks = figures.styles([chosen.series[name] for name in ordered], kind)
    figures.against(
        axes,
        chosen.replicates[chosen.replicates[value].notna()],
        means,
        x=figures.Axis(DIMENSION, axis(DIMENSION), log=spread(chosen.dimensions)),
        y=figures.Axis(value, axis(value)),
        series=figures.Series("series", {name: looks[chosen.series[name]] for name in ordered}),
        title=title,
    )


def sentence(means: pd.DataFrame, best: pd.Series, floor: float, point: pd.Series, judged: Judged = bounds.ELBO) -> str:
    """The mean of the best point and where it is, how far it is from the floor, and which D suffices."""
    top = means[(means[DIMENSION] == point[DIMENSION]) & (means["series"] == point["series"])].iloc[0]
    text = (
        f"The best point by {label(judged.rank)} is D = {top[DIMENSION]:g} ({top['series']}), with a mean "
        f"{label(judged.value)} of {interval(top['mean'], top['low'], top['high'])} nats per image"
    )
    if np.isfinite(floor):
        text += (
            f", {abs(top['mean'] - floor):.1f} nats {'above' if top['mean'] > floor else 'below'} a "
            "histogram that uses no z"
        )
    if len(means) > 1:
        text += f"; as the best of {len(means)} it is partly luck"
    if np.isfinite(best["sufficient"]):
        text += f"; on that curve {sufficient(best)}"
    elif best["note"]:
        text += f"; which D is best cannot be said ({best['note']})"
    return text + "."


def _draw_references(axes: Axes, curve: Curve) -> None:
    """The floor to scale, unless that would squeeze the curves into a corner; the rest is written below them."""
    written, floor, values = [], curve.floor, curve.chosen.replicates[curve.chosen.judged.value]
    right = _right_is_free(curve.means, floor) if np.isfinite(floor) else True
    if values.min() - floor <= values.max() - values.min():
        figures.reference_line(axes, floor, "histogram without z", right=right)
    elif np.isfinite(floor):
        written.append(f"↓ no z: {number(floor)} nats")
    if not curve.linear and not curve.ppca.empty:
        ends = [number(nats) for nats in curve.ppca.sort_values(DIMENSION)["nats"].iloc[[0, -1]]]
        span = ends[0] if len(curve.ppca) == 1 else f"{ends[0]} to {ends[1]}"
        written.append(f"{label('ppca')}: {span} nats")
    if len(written) > 1:
        low, high = axes.get_ylim()
        axes.set_ylim(low - 0.07 * (high - low), high)
    if written:
        figures.reference_note(axes, "\n".join(written), right=right)


def _right_is_free(means: pd.DataFrame, floor: float) -> bool:
    """Whether the curves are farther from the floor at the largest D than at the smallest."""
    away = (means["mean"] - floor).abs().groupby(means[DIMENSION]).min().sort_index()
    return bool(away.iloc[-1] >= away.iloc[0])


def _ppca(sweep: Sweep) -> pd.DataFrame:
    """The exact curve on the test split."""
    rows = sweep.references
    return rows[(rows["reference"] == "ppca") & (rows["split"] == "test") & rows["nats"].notna()]


def _title(chosen: Headline) -> str:
    """`Test ELBO`, or the IWAE bound that the trials were trained for."""
    text = label(chosen.judged.value)
    return f"{text[:1].upper()}{text[1:]}"


def _nats_per_bit(chosen: Headline) -> float | None:
    """pixels x ln 2, as the table's two units have it; None where a bound is a density, which has no bits."""
    replicates = chosen.replicates
    if not {BITS, BOUND} <= set(replicates.columns) or bounds.densities(replicates).any():
        return None
    rows = replicates[replicates[BITS].gt(0) & np.isfinite(replicates[BOUND])]
    return float((-rows[BOUND] / rows[BITS]).median()) if len(rows) else None
