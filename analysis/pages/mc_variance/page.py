"""Page 3: what a Monte Carlo estimate costs in variance, and how many draws are enough."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis import figures, statistics
from analysis.document.blocks import Block, Figure, Heading, Note, Page, Panel, Table
from analysis.figures import theme
from analysis.pages.common import ELBO, KL, among, named, sizes, slope_text, spread, with_configuration, yes_no
from analysis.pages.mc_variance import costs as variance_costs
from analysis.pages.mc_variance import gradients as gradients_and_priors
from analysis.pages.mc_variance import planner
from analysis.statistics.headline import DIMENSION, studied_dimension
from analysis.statistics.intervals import geometric_means
from analysis.tables import Sweep
from analysis.wording import axis, count, label, listed

VARIANCE = "variance (nats²)"


def page(sweep: Sweep) -> Page:
    """Variance against L, against D, in its components, times time; gradients; prior Monte Carlo; k3; the planner."""
    title = "Monte Carlo variance"
    lead = (
        "Variance of each estimator given the trained model and the image, averaged over images: what more draws buy."
    )
    variance = with_configuration(sweep, "variance")
    blocks: list[Block] = []
    if variance.empty:
        blocks.append(Note("This sweep has no variance study (variance.images is 0, or no trial has finished)."))
    else:
        dimension = studied_dimension(sweep, variance)
        blocks += [*against_samples(variance, dimension), *against_dimension(sweep, variance), *_predicted(sweep)]
        blocks += [
            *variance_costs.efficiency(variance, dimension),
            *variance_costs.components(sweep, variance, dimension),
            *variance_costs.k3(variance),
        ]
    blocks += gradients_and_priors.blocks(sweep)
    if not variance.empty:
        blocks += planner.blocks(sweep, dimension)
    return Page("mc-variance", title, lead, tuple(blocks))


# --- against L ------------------------------------------------------------------------------------------------------


def against_samples(variance: pd.DataFrame, dimension: int) -> list[Block]:
    """Variance against L on log-log axes: estimators, schemes, and the slope of each beside -1."""
    rows = variance[variance[DIMENSION] == dimension]
    # A pair is two draws: what is called antithetic at L = 1 is one independent draw.
    rows = rows[(rows["sampling"] != "antithetic") | (rows["num_samples"] > 1)]
    keys = ["quantity", "sampling", "num_importance_samples"]
    measured = geometric_means(rows, "variance", [*keys, "num_samples"])
    slopes = statistics.variance_slopes(rows)
    groups: list[tuple[str, str, str, dict[str, tuple[str, ...]]]] = [
        ("variance_kl_estimators", "KL estimators, i.i.d.", "quantity", {"quantity": KL, "sampling": ("iid",)}),
        (
            "variance_elbo_estimators",
            "ELBO estimators, i.i.d.",
            "quantity",
            {"quantity": ELBO[1:], "sampling": ("iid",)},
        ),
        ("variance_k1_schemes", "KL (k1) by sampling scheme", "sampling", {"quantity": ("k1",)}),
        ("variance_elbo_schemes", "ELBO, Monte Carlo KL, by scheme", "sampling", {"quantity": ("elbo_monte_carlo",)}),
        (
            "variance_iwae",
            "IWAE bound, i.i.d.",
            "num_importance_samples",
            {"quantity": ("iwae",), "sampling": ("iid",)},
        ),
    ]
    panels = []
    for name, title, series, wanted in groups:
        mine, lines = among(measured, wanted), among(slopes, wanted)
        if not mine.empty:
            draw = partial(
                _draw_slopes,
                measured=named(mine, series),
                slopes=named(lines, series),
                title=f"{title} (D = {dimension})",
            )
            panels.append(Panel(name, draw, f"{title}: variance against the number of draws, log-log", (4.5, 4.4)))
    caption = (
        "Log-log. Marks: geometric means over replicates with 95 % t-intervals of the logarithm; "
        "lines: fitted power laws, "
        "their slope with its 95 % interval in the "
        f"legend; grey: slope −1, what independent draws must show. The reconstruction term varies exactly as the ELBO "
        f"with closed-form KL. D = {dimension}; n = {sizes(rows)}."
    )
    everywhere = statistics.variance_slopes(variance)
    shown = pd.DataFrame(
        {
            "quantity": [label(name) for name in everywhere["quantity"]],
            "draws": [label(name) for name in everywhere["sampling"]],
            "K": everywhere["num_importance_samples"],
            "n": everywhere["n"],
            "slope [95 %]": [slope_text(row) for _, row in everywhere.iterrows()],
            "theory": everywhere["expected"],
            "interval holds it": yes_no(everywhere["contains_expected"], everywhere["expected"]),
        }
    )
    table = Table(
        "variance_slopes",
        everywhere,
        "Slopes of log variance against log L over all trials; the interval is Student t over replicates. Of "
        f"{int(everywhere['expected'].notna().sum())} intervals at 95 %, one in twenty misses by chance alone.",
        rows=60,
        shown=shown,
        folded=True,
    )
    return [
        Heading("How fast the variance falls with L"),
        Figure(tuple(panels), caption, _slopes_sentence(everywhere)),
        table,
    ]


def _draw_slopes(axes: Axes, *, measured: pd.DataFrame, slopes: pd.DataFrame, title: str) -> None:
    names = list(dict.fromkeys(measured["series"]))
    looks = figures.styles([(key,) for key in dict.fromkeys(measured["key"])])
    style = {
        name: dict(looks[(key,)], marker=theme.MARKERS[place], linestyle="-")
        for place, (name, key) in enumerate(zip(names, dict.fromkeys(measured["key"])))
    }
    texts = {row["series"]: f"{row['series']}: slope {slope_text(row)}" for _, row in slopes.iterrows()}
    figures.log_log(
        axes, measured, _fitted(measured, slopes), series="series", style=style, title=title,
        x_label=axis("num_samples"), y_label=VARIANCE, slopes=texts,
    )  # fmt: skip


def _fitted(measured: pd.DataFrame, slopes: pd.DataFrame) -> pd.DataFrame:
    """The ends of each fitted line (intercept and slope are statistics'), and of a -1 line from the highest of them."""
    tried = measured.groupby("series")["num_samples"].agg(["min", "max"])
    lines = [
        (row["series"], row["intercept"], row["slope"], tried.loc[row["series"]].to_numpy(float))
        for _, row in slopes.iterrows()
    ]
    if lines:
        everywhere = np.array([tried["min"].min(), tried["max"].max()], dtype=float)
        lines.append(("-1 line", max(line[1] for line in lines), -1.0, everywhere))
    frames = [
        pd.DataFrame({"series": name, "num_samples": ends, "fitted": np.exp(start + slope * np.log(ends))})
        for name, start, slope, ends in lines
    ]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=["series", "num_samples", "fitted"])


def _slopes_sentence(slopes: pd.DataFrame) -> str:
    iid = slopes[
        slopes["expected"].notna()
        & slopes["low"].notna()
        & (slopes["sampling"] == "iid")
        & ~slopes["quantity"].isin(["k3"])
    ]
    if iid.empty:
        return "Too few points for a slope with an interval."
    holds = int(iid["contains_expected"].sum())
    text = f"Over all trials, the i.i.d. slope's 95 % interval contains −1 for {holds} of {len(iid)} estimators"
    missed = iid[~iid["contains_expected"].astype(bool)]
    if not missed.empty:
        text += f" (not for {listed([_estimator(row) for _, row in missed.iterrows()])})"
    sobol = slopes[(slopes["sampling"] == "sobol") & (slopes["quantity"] == "k1") & slopes["slope"].notna()]
    if not sobol.empty:
        row = sobol.iloc[0]
        text += f"; scrambled Sobol draws make the variance of k1 fall as L to the power {slope_text(row)}"
    return text + "."


def _estimator(row: pd.Series) -> str:
    k = row["num_importance_samples"]
    return f"{label(row['quantity'])}{f' with K = {k:g}' if np.isfinite(k) else ''}, {slope_text(row)}"


# --- against D ------------------------------------------------------------------------------------------------------


def against_dimension(sweep: Sweep, variance: pd.DataFrame) -> list[Block]:
    """One draw's variance against D and against active units, with the closed form from (loc, scale)."""
    rows = variance[(variance["num_samples"] == 1) & (variance["sampling"] == "iid") & (variance["quantity"] != "k3")]
    rows = rows[rows["quantity"].isin(["k1", "cross_entropy", "elbo_closed_form", "elbo_monte_carlo"])]
    if rows.empty:
        return []
    named = rows.assign(series=[label(name) for name in rows["quantity"]])
    means = geometric_means(named, "variance", [DIMENSION, "series"], unit="trial")
    known = rows[(rows["quantity"] == "k1") & np.isfinite(rows["predicted"])]
    predicted = geometric_means(known, "predicted", [DIMENSION])
    names = list(dict.fromkeys(named.sort_values("quantity")["quantity"]))
    looks = figures.styles([(name,) for name in names])
    style: dict[str, figures.Style] = {
        label(name): dict(looks[(name,)], marker=theme.MARKERS[i]) for i, name in enumerate(names)
    }

    def draw(axes: Axes) -> None:
        if not predicted.empty:
            figures.reference_curve(axes, predicted, x=DIMENSION, y="mean", text="k1, predicted from (loc, scale)")
        figures.against(
            axes, named, means, x=DIMENSION, y="variance", series="series", style=style, title="One draw, against D",
            x_label=axis(DIMENSION), y_label=VARIANCE, log_x=spread(rows[DIMENSION].unique()), log_y=True,
        )  # fmt: skip

    panels = [Panel("variance_vs_dimension", draw, "Variance of one draw against the latent dimension", (4.5, 4.2))]
    units = rows[rows["quantity"] == "k1"]
    if "test.active_units" in sweep.replicates:
        units = units.merge(sweep.replicates[["trial", "replicate", "test.active_units"]], on=["trial", "replicate"])
        units = units[units["test.active_units"].notna()]
        if not units.empty:
            panels.append(
                Panel(
                    "variance_vs_active_units",
                    partial(_draw_units, rows=units),
                    "Variance of one draw of k1 against active units",
                    (4.5, 4.2),
                )
            )
    first, last = (
        means[means["series"] == label("k1")].sort_values(DIMENSION).iloc[[0, -1]].itertuples(index=False)
        if label("k1") in set(means["series"])
        else (None, None)
    )
    sentence = "The study has no k1, so its growth with D is not known."
    if first is not None and last is not None:
        sentence = (
            f"One draw of k1 has a variance of {first.mean:.3g} nats² at D = {first[0]:g} and "
            f"{last.mean:.3g} nats² at D = {last[0]:g}."
        )
        if first[0] == last[0]:
            sentence = f"One draw of k1 has a variance of {first.mean:.3g} nats² at D = {first[0]:g}, the only D."
    caption = (
        "L = 1, i.i.d. draws. Small marks: replicates; large marks: geometric means over trials with 95 % "
        f"t-intervals of the logarithm. n = {sizes(rows)}."
    )
    return [Heading("How it grows with the latent dimension"), Figure(tuple(panels), caption, sentence)]


def _draw_units(axes: Axes, *, rows: pd.DataFrame) -> None:
    both = pd.concat(
        [
            rows.assign(series="measured"),
            rows[rows["predicted"].notna()].assign(series="predicted from (loc, scale)", variance=rows["predicted"]),
        ]
    )
    style: dict[str, figures.Style] = {
        "measured": {"color": theme.COLOURS[6], "marker": "o", "linestyle": ""},
        "predicted from (loc, scale)": {"color": theme.INK, "marker": "x", "linestyle": ""},
    }
    kept = {name: look for name, look in style.items() if (both["series"] == name).any()}
    figures.scatter(
        axes,
        both.drop(columns=["low", "high"]),
        x="test.active_units",
        y="variance",
        series="series",
        style=kept,
        title="k1, one draw, against active units",
        x_label=axis("test.active_units"),
        y_label=VARIANCE,
    )


def _predicted(sweep: Sweep) -> list[Block]:
    finished = with_configuration(sweep, "replicates")
    ratios = statistics.predicted_vs_measured(finished)
    if ratios.empty:
        return []
    share = statistics.share_containing_one(ratios).iloc[0]
    drawn = ratios.assign(mean=ratios["ratio"])

    def draw(axes: Axes) -> None:
        figures.ratios(
            axes,
            drawn,
            x="trial",
            y="ratio",
            title="k1: measured variance over its closed form",
            x_label="trial",
            y_label="variance.k1_ratio",
        )

    panel = Panel("k1_ratio", draw, "Measured over predicted variance of k1 for every trial", (4.8, 3.2))
    caption = f"It must be 1. Bars: 99 % intervals from the draws' own errors. n = {count(len(ratios), 'trial')}."
    sentence = (
        f"{int(share['inside'])} of {int(share['n'])} trials ({share['share']:.0%}) have 1 in their 99 % interval"
        f" (95 % interval of that share: {share['low']:.0%} to {share['high']:.0%})."
    )
    return [
        Heading("Does the closed form predict it?"),
        Figure((panel,), caption, sentence),
        Table("k1_ratio", ratios, "Measured over predicted variance of k1.", rows=12, folded=True),
    ]
