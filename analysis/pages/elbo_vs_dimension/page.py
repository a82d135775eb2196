"""Page 2: how the bound changes with the latent dimension."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis import figures, statistics
from analysis.document.blocks import Block, Figure, Heading, Note, Page, Panel, Table
from analysis.figures import theme
from analysis.pages.common import spread
from analysis.pages.elbo_vs_dimension import comparison
from analysis.statistics.headline import BOUND, DIMENSION, Headline, headline, sizes
from analysis.tables import Sweep
from analysis.wording import axis, figure, interval, label, listed

MULTIPLES = {
    "test.reconstruction": "Reconstruction",
    "test.kl": "KL",
    "test.active_units": "Active units",
    "test.approximation_gap": "Approximation gap",
    "test.amortisation_gap": "Amortisation gap",
}


def page(sweep: Sweep) -> Page:
    """The curve and its parts, the knee, the paired comparison of KL estimators, and what stands behind each point."""
    title, lead = (
        "ELBO against latent dimension",
        "What another latent dimension buys, and whether the KL estimator matters.",
    )
    chosen = headline(sweep)
    if BOUND not in chosen.replicates or chosen.replicates[BOUND].notna().sum() == 0:
        note = Note(f"No finished trial has a {BOUND}, so there is no curve. {_statuses(sweep)}")
        return Page("elbo-vs-dimension", title, lead, (note, *comparison.counts(sweep, chosen)))
    blocks: list[Block] = []
    if len(chosen.dimensions) == 1:
        blocks.append(
            Note(
                f"Every trial of the curve has D = {chosen.dimensions[0]}: one point is not a curve, and "
                "there is no knee."
            )
        )
    blocks += [bound(sweep, chosen), *_knee(chosen)]
    if len(chosen.dimensions) > 1:
        blocks += [Heading("What the bound is made of, and where it is lost"), parts(chosen)]
    blocks += _curve_table(chosen)
    blocks += [*comparison.paired(chosen), *comparison.counts(sweep, chosen)]
    return Page("elbo-vs-dimension", title, lead, tuple(blocks))


# --- the curve ------------------------------------------------------------------------------------------------------


def bound(sweep: Sweep, chosen: Headline) -> Figure:
    """Test ELBO against D for each KL estimator and L, with the z-free floor and the exact pPCA curve."""
    means = chosen.means(BOUND)
    floor, ppca = _floor(sweep), _ppca(sweep, chosen)
    found = statistics.knee(chosen.replicates, BOUND, within="series")
    best = found.iloc[int(found["best_mean"].argmax())]
    nats_per_bit = _nats_per_bit(chosen.replicates)

    def draw(axes: Axes) -> None:
        if not ppca.empty:
            figures.reference_curve(axes, ppca, x="latent_dim", y="nats", text=label("ppca"))
        _curves(axes, chosen, BOUND, title="Test ELBO", means=means)
        if np.isfinite(floor):
            _draw_floor(axes, floor, chosen.replicates[BOUND], right=_right_is_free(means, floor))
        if len(chosen.series) == 1 and np.isfinite(best["knee"]):
            figures.mark(axes, best["knee"], best["low"], best["high"], f"D* = {best['knee']:g}")
        if nats_per_bit is not None:
            figures.second_axis(axes, nats_per_bit)

    panel = Panel(
        "elbo_vs_dimension", draw, "Test ELBO against the latent dimension, per KL estimator and L", theme.ALONE
    )
    caption = (
        "Higher is better. Small marks are replicates, large marks their mean with a 95 % "
        "t-interval; series are set side by side "
        f"at each D. {'No z: a histogram of each pixel. ' if np.isfinite(floor) else ''}"
        f"{chosen.basis} {sizes(chosen.replicates)}."
    )
    return Figure((panel,), caption, _bound_sentence(means, best, floor, found))


def _bound_sentence(means: pd.DataFrame, best: pd.Series, floor: float, found: pd.DataFrame) -> str:
    top = means.iloc[int(means["mean"].argmax())]
    text = (
        f"The best mean test ELBO is {interval(top['mean'], top['low'], top['high'])} nats per image, "
        f"at D = {top[DIMENSION]:g} ({top['series']})"
    )
    if np.isfinite(floor):
        text += (
            f", {abs(top['mean'] - floor):.1f} nats {'above' if top['mean'] > floor else 'below'} a "
            "histogram that uses no z"
        )
    if np.isfinite(best["knee"]):
        saved = (
            "the smallest D that was tried"
            if best["knee"] == means[DIMENSION].min()
            else "no smaller D comes within one standard error"
            if best["knee"] == best["best"] == best["low"]
            else "a smaller D may do as well"
            if best["knee"] == best["best"]
            else f"D beyond {best['knee']:g} buys less than one standard error"
        )
        text += (
            f"; on that curve the knee is D* = {best['knee']:g} (95 % interval {best['low']:g} to "
            f"{best['high']:g}): {saved}"
        )
    elif len(found) and best["note"]:
        text += f"; no knee can be given ({best['note']})"
    return text + "."


def _curves(axes: Axes, chosen: Headline, value: str, *, title: str, means: pd.DataFrame, legend: bool = True) -> None:
    figures.against(
        axes,
        chosen.replicates[chosen.replicates[value].notna()],
        means,
        x=DIMENSION,
        y=value,
        series="series",
        style=_style(chosen),
        title=title,
        x_label=axis(DIMENSION),
        y_label=axis(value),
        log_x=spread(chosen.dimensions),
        legend=legend,
    )


def _style(chosen: Headline) -> dict[str, figures.Style]:
    looks = figures.styles(list(chosen.series.values()))
    return {name: looks[key] for name, key in chosen.series.items()}


def _draw_floor(axes: Axes, floor: float, values: pd.Series, *, right: bool) -> None:
    """To scale, unless that would squeeze the curves into the top of the figure."""
    if values.min() - floor <= values.max() - values.min():
        figures.reference_line(axes, floor, "histogram without z", right=right)
    else:
        figures.reference_note(axes, f"↓ no z: {figure(floor)} nats", right=right)


def _right_is_free(means: pd.DataFrame, floor: float) -> bool:
    """Whether the curves are farther from the floor at the largest D than at the smallest."""
    away = (means["mean"] - floor).abs().groupby(means[DIMENSION]).min().sort_index()
    return bool(away.iloc[-1] >= away.iloc[0])


def _floor(sweep: Sweep) -> float:
    rows = sweep.references
    rows = rows[(rows["reference"] == "histogram_floor") & (rows["split"] == "test")]
    return float(rows["nats"].iloc[0]) if len(rows) else np.nan


def _ppca(sweep: Sweep, chosen: Headline) -> pd.DataFrame:
    """The exact curve, only beside models that it is exact for."""
    rows = sweep.references
    rows = rows[(rows["reference"] == "ppca") & (rows["split"] == "test") & rows["nats"].notna()]
    linear = chosen.replicates.get("model.network.name", pd.Series(dtype=object)).eq("linear").any()
    return rows if linear else rows.head(0)


def _nats_per_bit(replicates: pd.DataFrame) -> float | None:
    """pixels x ln 2, as the table's two units have it."""
    if "test.bits_per_dim" not in replicates:
        return None
    known = replicates[replicates["test.bits_per_dim"].gt(0) & replicates[BOUND].notna()]
    return float((-known[BOUND] / known["test.bits_per_dim"]).median()) if len(known) else None


# --- its parts ------------------------------------------------------------------------------------------------------


def parts(chosen: Headline) -> Figure:
    """Small multiples: what the bound is made of, and where it is lost."""
    titles = dict(MULTIPLES)
    iwae = _largest_iwae(chosen.replicates)
    if iwae is not None:
        titles[iwae] = f"IWAE bound, K = {iwae.rpartition('_')[2]}"
    means = {name: chosen.means(name) for name in titles}
    measured = {name: titles[name] for name in titles if name == iwae or not means[name].empty}
    panels = tuple(
        Panel(
            f"{name.removeprefix('test.')}_vs_dimension",
            partial(_curves, chosen=chosen, value=name, title=title, means=means[name]),
            f"{title} against the latent dimension",
        )
        for name, title in measured.items()
    )
    caption = (
        "The same trials, marks and intervals as above; intervals of active units end at 0 and D. "
        f"{sizes(chosen.replicates)}."
    )
    return Figure(panels, caption, _parts_sentence(chosen, means))


def _largest_iwae(replicates: pd.DataFrame) -> str | None:
    found = [
        name
        for name in map(str, replicates.columns)
        if name.startswith("test.iwae_") and name.rpartition("_")[2].isdigit()
    ]
    return max(found, key=lambda name: int(name.rpartition("_")[2]), default=None)


def _parts_sentence(chosen: Headline, means: dict[str, pd.DataFrame]) -> str:
    """From the smallest to the largest D, for the first series; the larger gap at the largest D."""
    name = next(iter(chosen.series))
    ends = {}
    for value in MULTIPLES:
        rows = means[value]
        rows = rows[rows["series"] == name].sort_values(DIMENSION)
        if not rows.empty:
            ends[value] = (rows.iloc[0], rows.iloc[-1])
    if not ends:
        return "The sweep recorded the bound only, not its parts."
    first, last = next(iter(ends.values()))
    said = [_change(value, *ends[value]) for value in ends if "gap" not in value]
    text = f"From D = {first[DIMENSION]:g} to D = {last[DIMENSION]:g} ({name}), {listed(said)}"
    gaps = [(value, ends[value][1]) for value in ("test.approximation_gap", "test.amortisation_gap") if value in ends]
    if len(gaps) == 2:
        (larger, more), (_, less) = sorted(gaps, key=lambda gap: -gap[1]["mean"])
        sizes_of_both = f"{more['mean']:.2f} against {less['mean']:.2f} nats"
        text += f"; at D = {last[DIMENSION]:g} "
        text += (
            f"more of the bound is lost to {MULTIPLES[larger].lower().removesuffix(' gap')} ({sizes_of_both})"
            if more["low"] > less["high"]
            else f"the two gaps cannot be told apart ({sizes_of_both}, intervals overlap)"
        )
    return text + "."


def _change(value: str, first: pd.Series, last: pd.Series) -> str:
    """A direction only where the intervals at both ends leave no doubt about it."""
    name = "the KL" if value == "test.kl" else f"the {MULTIPLES[value].lower()}"
    ends = f"{first['mean']:.1f} to {last['mean']:.1f}"
    if first["high"] < last["low"]:
        return f"{name} {'rise' if value == 'test.active_units' else 'rises'} from {ends}"
    if last["high"] < first["low"]:
        return f"{name} {'fall' if value == 'test.active_units' else 'falls'} from {ends}"
    return f"no change of {name} is certain ({ends}, intervals overlap)"


def _curve_table(chosen: Headline) -> list[Block]:
    names = [name for name in (BOUND, *MULTIPLES, _largest_iwae(chosen.replicates)) if name]
    means = {name: table for name in names if not (table := chosen.means(name)).empty}
    values = list(means)
    long = pd.concat([table.assign(metric=name) for name, table in means.items()], ignore_index=True)[
        ["metric", DIMENSION, "series", "n", "mean", "standard_error", "low", "high"]
    ]
    shown = long.assign(text=[interval(*row) for row in long[["mean", "low", "high"]].itertuples(index=False)])
    wide = shown.pivot(index=["series", DIMENSION], columns="metric", values="text")[values].reset_index()
    wide.insert(
        2,
        "n",
        long[long["metric"] == BOUND]
        .set_index(["series", DIMENSION])["n"]
        .reindex(wide.set_index(["series", DIMENSION]).index)
        .to_numpy(),
    )
    unit = "trials" if chosen.unit else "replicates"
    return [
        Table(
            "elbo_vs_dimension",
            long,
            f"Means with 95 % t-intervals over n {unit}, nats per image.",
            rows=40,
            shown=wide,
            folded=True,
        )
    ]


# --- the knee -------------------------------------------------------------------------------------------------------


def _knee(chosen: Headline) -> list[Block]:
    if len(chosen.dimensions) < 2:
        return []
    found = statistics.knee(chosen.replicates, BOUND, within="series")
    knees = [
        f"{k:g} [{low:g}, {high:g}]" if np.isfinite(k) else "–"
        for k, low, high in found[["knee", "low", "high"]].itertuples(index=False)
    ]
    shown = pd.DataFrame({"series": found["series"], "D* [95 % interval]": knees, "probability": found["probability"]})
    shown = shown.assign(
        **{"best D": found["best"], "best mean": found["best_mean"], "replicates": found["n"], "note": found["note"]}
    )
    caption = (
        "D*: the smallest D whose mean bound is within one standard error of the best. Interval: "
        "percentile bootstrap over "
        "replicates; probability: share of resamples with this very knee."
    )
    return [Table("knee", found, caption, shown=shown)]


def _statuses(sweep: Sweep) -> str:
    ended = sweep.trials["status"].value_counts()
    return (
        f"Trials: {listed([f'{n} {status}' for status, n in ended.items()])}."
        if len(ended)
        else "The sweep has no trial yet."
    )
