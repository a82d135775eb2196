"""Page 2: how the bound changes with the latent dimension."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis import figures, statistics, theme
from analysis.document import Block, Figure, Heading, Note, Page, Panel, Table, Text
from analysis.headline import DIMENSION, Headline, headline, sizes
from analysis.tables import Sweep
from analysis.wording import axis, count, interval, label, listed

BOUND = "test.elbo"
MULTIPLES = {
    "test.reconstruction": "Reconstruction",
    "test.kl": "KL",
    "test.active_units": "Active units",
    "test.approximation_gap": "Approximation gap",
    "test.amortisation_gap": "Amortisation gap",
}


def page(sweep: Sweep) -> Page:
    """The curve and its parts, the knee, the paired comparison of KL estimators, and what stands behind each point."""
    title, lead = "ELBO against latent dimension", "What another latent dimension buys, and whether the KL estimator matters."
    chosen = headline(sweep)
    if BOUND not in chosen.replicates or chosen.replicates[BOUND].notna().sum() == 0:
        note = Note(f"No finished trial has a {BOUND}, so there is no curve. {_statuses(sweep)}")
        return Page("elbo-vs-dimension", title, lead, (note, *_counts(sweep, chosen)))
    blocks: list[Block] = []
    if len(chosen.dimensions) == 1:
        blocks.append(Note(f"Every trial of the curve has D = {chosen.dimensions[0]}: one point is not a curve, and there is no knee."))
    blocks += [bound(sweep, chosen), *_knee(chosen), parts(sweep, chosen), *_curve_table(chosen)]
    blocks += [*_paired(sweep, chosen), *_counts(sweep, chosen)]
    return Page("elbo-vs-dimension", title, lead, tuple(blocks))


# --- the curve ------------------------------------------------------------------------------------------------------


def bound(sweep: Sweep, chosen: Headline) -> Figure:
    """Test ELBO against D for each KL estimator and L, with the z-free floor and the exact pPCA curve."""
    means = chosen.means(BOUND)
    floor, ppca = _floor(sweep), _ppca(sweep, chosen)
    found = statistics.knee(chosen.replicates, BOUND, within="series")
    best = found.loc[found["best_mean"].idxmax()]
    nats_per_bit = _nats_per_bit(chosen.replicates)

    def draw(axes: Axes) -> None:
        if not ppca.empty:
            figures.reference_curve(axes, ppca, x="latent_dim", y="nats", text=label("ppca"))
        _curves(axes, chosen, BOUND, title="Test ELBO", means=means)
        if np.isfinite(floor):
            figures.reference_line(axes, floor, "histogram without z", right=_right_is_free(means, floor))
        if len(chosen.series) == 1 and np.isfinite(best["knee"]):
            figures.mark(axes, best["knee"], best["low"], best["high"], f"D* = {best['knee']:g}")
        if nats_per_bit is not None:
            figures.second_axis(axes, nats_per_bit)

    panel = Panel("elbo_vs_dimension", draw, "Test ELBO against the latent dimension, per KL estimator and L", theme.WIDE)
    caption = (
        f"Higher is better. Small marks are replicates, large marks their mean with a 95 % t-interval; series are set side by side "
        f"at each D. {chosen.basis} {sizes(chosen.replicates)}."
    )
    return Figure((panel,), caption, _bound_sentence(means, best, floor, found))


def _bound_sentence(means: pd.DataFrame, best: pd.Series, floor: float, found: pd.DataFrame) -> str:
    top = means.loc[means["mean"].idxmax()]
    text = f"The best mean test ELBO is {interval(top['mean'], top['low'], top['high'])} nats per image, at D = {top[DIMENSION]:g} ({top['series']})"
    if np.isfinite(floor):
        text += f", {abs(top['mean'] - floor):.1f} nats {'above' if top['mean'] > floor else 'below'} a histogram that uses no z"
    if np.isfinite(best["knee"]):
        saved = "no smaller D does as well" if best["knee"] == best["best"] else f"D beyond {best['knee']:g} buys less than one standard error"
        text += f"; on that curve the knee is D* = {best['knee']:g} (95 % interval {best['low']:g} to {best['high']:g}): {saved}"
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
        log_x=_log(chosen.dimensions),
        legend=legend,
    )


def _style(chosen: Headline) -> dict[object, dict[str, object]]:
    looks = figures.styles(list(chosen.series.values()))
    return {name: looks[key] for name, key in chosen.series.items()}


def _right_is_free(means: pd.DataFrame, floor: float) -> bool:
    """Whether the curves are farther from the floor at the largest D than at the smallest."""
    away = (means["mean"] - floor).abs().groupby(means[DIMENSION]).min().sort_index()
    return bool(away.iloc[-1] >= away.iloc[0])


def _log(dimensions: list[int]) -> bool:
    return len(dimensions) > 1 and dimensions[-1] >= 6 * dimensions[0]


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


def parts(sweep: Sweep, chosen: Headline) -> Figure:
    """Small multiples: what the bound is made of, and where it is lost."""
    measured = {name: title for name, title in MULTIPLES.items() if not chosen.means(name).empty}
    iwae = _largest_iwae(chosen.replicates)
    if iwae is not None:
        measured[iwae] = f"IWAE bound, K = {iwae.rpartition('_')[2]}"
    panels = tuple(
        Panel(
            f"{name.removeprefix('test.')}_vs_dimension",
            partial(_draw_part, chosen=chosen, value=name, title=title),
            f"{title} against the latent dimension",
        )
        for name, title in measured.items()
    )
    caption = f"The same trials, marks and intervals as above. {sizes(chosen.replicates)}."
    return Figure(panels, caption, _parts_sentence(chosen))


def _draw_part(axes: Axes, *, chosen: Headline, value: str, title: str) -> None:
    _curves(axes, chosen, value, title=title, means=chosen.means(value))


def _largest_iwae(replicates: pd.DataFrame) -> str | None:
    found = [name for name in replicates if name.startswith("test.iwae_") and name.rpartition("_")[2].isdigit()]
    return max(found, key=lambda name: int(name.rpartition("_")[2]), default=None)


def _parts_sentence(chosen: Headline) -> str:
    """From the smallest to the largest D, for the first series; the larger gap at the largest D."""
    name = next(iter(chosen.series))
    ends = {}
    for value in MULTIPLES:
        rows = chosen.means(value)
        rows = rows[rows["series"] == name].sort_values(DIMENSION)
        if not rows.empty:
            ends[value] = (rows.iloc[0], rows.iloc[-1])
    if not ends:
        return "The sweep recorded the bound only, not its parts."
    first, last = next(iter(ends.values()))
    said = [
        f"the {MULTIPLES[value] if value == 'test.kl' else MULTIPLES[value].lower()} goes from {a['mean']:.1f} to {b['mean']:.1f}"
        for value, (a, b) in ends.items()
        if "gap" not in value
    ]
    text = f"From D = {first[DIMENSION]:g} to D = {last[DIMENSION]:g} ({name}), {listed(said)}"
    if first[DIMENSION] == last[DIMENSION]:
        said = [f"{MULTIPLES[value]} {b['mean']:.1f}" for value, (_, b) in ends.items() if "gap" not in value]
        text = f"At D = {last[DIMENSION]:g} ({name}): {listed(said)}"
    gaps = [(value, ends[value][1]["mean"]) for value in ("test.approximation_gap", "test.amortisation_gap") if value in ends]
    if len(gaps) == 2:
        (larger, more), (_, less) = sorted(gaps, key=lambda gap: -gap[1])
        text += f"; at D = {last[DIMENSION]:g} more of the bound is lost to {MULTIPLES[larger].lower().removesuffix(' gap')} ({more:.2f} against {less:.2f} nats)"
    return text + "."


def _curve_table(chosen: Headline) -> list[Block]:
    values = [name for name in (BOUND, *MULTIPLES, _largest_iwae(chosen.replicates)) if name and not chosen.means(name).empty]
    frames = [chosen.means(name).assign(metric=name) for name in values]
    long = pd.concat(frames, ignore_index=True)[["metric", DIMENSION, "series", "n", "mean", "standard_error", "low", "high"]]
    shown = long.assign(text=[interval(*row) for row in long[["mean", "low", "high"]].itertuples(index=False)])
    wide = shown.pivot(index=["series", DIMENSION], columns="metric", values="text")[values].reset_index()
    wide.insert(2, "n", long[long["metric"] == BOUND].set_index(["series", DIMENSION])["n"].reindex(wide.set_index(["series", DIMENSION]).index).to_numpy())
    unit = "trials" if chosen.unit else "replicates"
    return [Table("elbo_vs_dimension", long, f"Means with 95 % t-intervals over n {unit}, nats per image.", rows=40, shown=wide)]


# --- the knee -------------------------------------------------------------------------------------------------------


def _knee(chosen: Headline) -> list[Block]:
    if len(chosen.dimensions) < 2:
        return []
    found = statistics.knee(chosen.replicates, BOUND, within="series")
    knees = [f"{k:g} [{low:g}, {high:g}]" if np.isfinite(k) else "–" for k, low, high in found[["knee", "low", "high"]].itertuples(index=False)]
    shown = pd.DataFrame({"series": found["series"], "D* [95 % interval]": knees, "probability": found["probability"]})
    shown = shown.assign(**{"best D": found["best"], "best mean": found["best_mean"], "replicates": found["n"], "note": found["note"]})
    caption = (
        "D*: the smallest D whose mean bound is within one standard error of the best. Interval: percentile bootstrap over "
        "replicates; probability: share of resamples with this very knee."
    )
    return [Table("knee", found, caption, shown=shown)]


# --- paired ---------------------------------------------------------------------------------------------------------


def _paired(sweep: Sweep, chosen: Headline) -> list[Block]:
    """Closed-form minus Monte Carlo KL: same seeds, same D, all else equal."""
    heading = Heading("Does the KL estimator matter?")
    estimators = chosen.replicates["kl.estimator"].nunique() if "kl.estimator" in chosen.replicates else 1
    if estimators < 2:
        return [heading, Note("All trials of the curve use one KL estimator, so there is nothing to compare.")]
    table = statistics.paired_differences(chosen.replicates, BOUND, "kl.estimator")
    table = table[table["n"] > 0]
    if table.empty:
        return [heading, Note("No two trials differ in the KL estimator alone, so no paired difference can be taken.")]
    several = table["second"].nunique() > 1
    names = [f"D = {d:g}, {label(b)}" if several else f"D = {d:g}" for d, b in table[[DIMENSION, "second"]].itertuples(index=False)]
    rows = table.assign(mean=table["difference"], row=names)
    other = "other estimator" if several else label(table["second"].iloc[0])
    title = f"{label(table['first'].iloc[0]).capitalize()} minus {other}, same seeds"
    panel = Panel(
        "paired_differences",
        lambda axes: figures.forest(axes, rows, name="row", title=title, x_label="difference in test.elbo (nats per image)"),
        "Paired differences in test ELBO between KL estimators, by latent dimension",
        (7.4, 1.1 + 0.3 * max(3, len(rows))),
    )
    caption = (
        f"Same seed, same D, all other settings equal; to the right of zero, {label(table['first'].iloc[0])} is better. Bars are 95 % "
        f"t-intervals for each difference alone; {count(int(table['comparisons'].iloc[0]), 'comparison')} shown, judged with Holm's correction. "
        f"n = {listed(sorted(set(table['n'])))} seeds each."
    )
    shown = pd.DataFrame(
        {
            "D": table[DIMENSION],
            "difference (nats)": [interval(*row) for row in table[["difference", "low", "high"]].itertuples(index=False)],
            "seeds": table["n"],
            "p (Holm)": table["p_holm"],
            "verdict": table["verdict"],
        }
    )
    figure = Figure((panel,), caption, statistics.overall_verdict(table, BOUND))
    return [heading, figure, Table("paired_differences", table, "Every comparison in words.", rows=40, shown=shown)]


# --- behind each point ----------------------------------------------------------------------------------------------


def _counts(sweep: Sweep, chosen: Headline) -> list[Block]:
    """An adaptive search visits dimensions unevenly: how many trials there are at each D, and which were only search."""
    if sweep.trials.empty:
        return []
    counts = statistics.per_dimension_counts(sweep.trials, sweep.replicates)
    wide = counts.pivot(index=DIMENSION, columns="phase", values="trials").fillna(0).astype(int).reset_index()
    phases = [name for name in ("factorial", "search", "refine", "confirm") if name in wide]
    panels = [
        Panel(
            "trials_per_dimension",
            lambda axes: figures.stacked(
                axes, wide, x=DIMENSION, parts=phases, labels={}, title="Trials at each D", x_label=axis(DIMENSION), y_label="trials"
            ),
            "Number of trials at each latent dimension, by phase",
        )
    ]
    passed = chosen.passed
    if BOUND in passed and passed[BOUND].notna().any():
        panels.append(
            Panel("search_trials", partial(_draw_passed, passed=passed[passed[BOUND].notna()]), "Test ELBO of the trials that only the search visited")
        )
    per = wide[phases].sum(axis=1)
    fewest, most = int(per.min()), int(per.max())
    sentence = (
        f"Between {count(fewest, 'trial')} and {count(most, 'trial')} stand behind a latent dimension"
        if fewest != most
        else f"Each latent dimension was tried {count(most, 'time')}"
    )
    confirmed = int((sweep.trials["phase"] == "confirm").sum())
    sentence += f"; {count(confirmed, 'trial')} confirm earlier ones on fresh seeds." if confirmed else "; no trial confirms another on fresh seeds."
    caption = (
        "First: all trials, whatever their end. Second: replicates of search trials, which chose configurations and are in no curve above."
        if len(panels) == 2
        else "All trials, whatever their end."
    )
    caption += f" n = {count(len(sweep.trials), 'trial')}."
    return [Heading("How much stands behind each point"), Figure(tuple(panels), caption, sentence), Table("trials_per_dimension", counts, "Trials and replicates per D and phase.", rows=40)]


def _draw_passed(axes: Axes, *, passed: pd.DataFrame) -> None:
    figures.scatter(axes, passed, x=DIMENSION, y=BOUND, series="phase", title="Trials of the search", x_label=axis(DIMENSION), y_label=axis(BOUND))
    theme.ticks_at(axes.xaxis, passed[DIMENSION], log=_log(sorted(int(d) for d in passed[DIMENSION].unique())))


def _statuses(sweep: Sweep) -> str:
    ended = sweep.trials["status"].value_counts()
    return f"Trials: {listed([f'{n} {status}' for status, n in ended.items()])}." if len(ended) else "The sweep has no trial yet."


__all__ = ["bound", "page", "parts"]
