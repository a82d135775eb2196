"""The truth box: what a reader must know before any answer, each sentence from a statistic of all trials."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

from analysis import tables
from analysis.pages.common import with_dimension
from analysis.statistics import answers
from analysis.statistics.bounds import SAMPLES, SCALES, comparable, densities, judged_by, trained_on_iwae
from analysis.statistics.convergence import still_rising
from analysis.statistics.few_seeds.winner import FRESH
from analysis.tables import Sweep
from analysis.tables.columns import DIMENSION, FINISHED, SEARCH
from analysis.wording import count, figure, label, listed

UNITS, ESS = "test.active_units", "test.effective_sample_size"
PARETO, HEAVY_SHARE = "test.pareto_k", "test.pareto_k_unreliable"
ENOUGH_SEEDS = 3
"""Fewer replicates of a configuration are said to be few."""
FAR = 1.0
"""Nats below the exact pPCA that are worth a warning."""
HEAVY = 0.7
"""Pareto k above which importance weights have no usable variance (Vehtari and others 2024)."""
MANY_HEAVY = 0.5
"""Share of images with so heavy a tail that is worth a warning: beyond it the median image has one."""
FEW_DRAWS = 10.0
"""Effective draws below which a bound of many rests on a handful; of few draws, a quarter of them."""


def warnings(sweep: Sweep) -> list[str]:
    """Every sentence that applies, the gravest first; none where there is nothing to warn of."""
    said = [
        unfinished(sweep),
        not_finite(sweep),
        without_z(sweep),
        below_ppca(sweep),
        other_bound(sweep),
        other_scales(sweep),
        late_training(sweep),
        few_seeds(sweep),
        importance_sampling(sweep),
        never_varied(sweep),
    ]
    return [sentence for sentence in said if sentence]


def unfinished(sweep: Sweep) -> str:
    """That no trial finished, and how they ended; else nothing."""
    status = sweep.trials["status"]
    if status.empty or (status == FINISHED).any():
        return ""
    return f"No trial has finished: {listed([f'{number} {name}' for name, number in status.value_counts().items()])}."


def not_finite(sweep: Sweep) -> str:
    """That finished trials have replicates whose bound is no number: they take no part in any comparison."""
    rows, bound = with_dimension(sweep, "replicates"), judged_by(sweep).value
    if bound not in rows or rows.empty:
        return ""
    lost = rows[~np.isfinite(rows[bound])]
    if lost.empty:
        return ""
    verb = "has" if len(lost) == 1 else "have"
    return (
        f"{len(lost)} of {count(len(rows), 'finished replicate')} {verb} no finite {label(bound)} (trials "
        f"{listed(sorted(lost['trial'].unique()))}) and {'takes' if len(lost) == 1 else 'take'} no part below."
    )


def without_z(sweep: Sweep) -> str:
    """That trials are worse than a histogram of each pixel, or use no latent unit."""
    rows, bound = tables.joined(sweep), judged_by(sweep).value
    said = []
    if bound in rows:
        means = _trial_means(rows[~densities(rows)], bound).assign(floor=lambda t: _floors(sweep, t))
        means = means[np.isfinite(means["floor"])]
        gaps = means[bound] - means["floor"]
        if worse := int((gaps < 0).sum()):
            side = "below" if gaps.max() < 0 else "above"
            floor = f"{figure(means['floor'].iloc[0])} nats; " if means["floor"].nunique() == 1 else ""
            said.append(
                f"{worse} of {count(len(means), 'finished trial')} {'is' if worse == 1 else 'are'} worse than a "
                f"histogram of each pixel, which uses no z ({floor}the best trial is {abs(gaps.max()):.1f} nats "
                f"{side} it)"
            )
    if UNITS in rows and (idle := int((rows.groupby("trial")[UNITS].mean() == 0).sum())):
        said.append(f"{count(idle, 'trial has', 'trials have')} no active latent unit")
    text = "; ".join(said)
    return f"Beware: {text}." if said else ""


def _trial_means(rows: pd.DataFrame, value: str) -> pd.DataFrame:
    """Mean of the finite values of each trial, with its dimension and data."""
    rows = rows[np.isfinite(rows[value])]
    shared = {name: (name, "first") for name in (DIMENSION, "data.name") if name in rows}
    means: pd.DataFrame = rows.groupby("trial").agg(**{value: (value, "mean")}, **shared)
    return means


def _floors(sweep: Sweep, trials: pd.DataFrame) -> pd.Series:
    """The bound without z on the test split of each trial's data; NaN where that was not measured or is ambiguous."""
    rows = sweep.references
    rows = rows[(rows["reference"] == "histogram_floor") & (rows["split"] == "test") & rows["nats"].notna()]
    if "data" in rows and "data.name" in trials:
        alone = rows.groupby("data")["nats"].agg(lambda nats: nats.iloc[0] if nats.nunique() == 1 else np.nan)
        return trials["data.name"].map(alone).astype(float)
    return pd.Series(rows["nats"].iloc[0] if rows["nats"].nunique() == 1 else np.nan, index=trials.index)


def below_ppca(sweep: Sweep) -> str:
    """That trials are far below the exact pPCA of their own dimension, a linear model that needs no training."""
    rows, bound, exact = tables.joined(sweep), judged_by(sweep).value, sweep.references
    of_levels = bool(
        (exact["reference"] == "histogram_floor").any()
    )  # the pPCA of densities has no histogram beside it
    exact = exact[(exact["reference"] == "ppca") & (exact["split"] == "test") & exact["nats"].notna()]
    if bound not in rows or exact.empty:
        return ""
    means = _trial_means(rows[densities(rows) != of_levels], bound).reset_index()
    pairs = means.merge(exact[[DIMENSION, "nats"]].drop_duplicates(DIMENSION, keep=False), on=DIMENSION)
    gaps = pairs["nats"] - pairs[bound]
    far = gaps[gaps > FAR]
    if far.empty:
        return ""
    sizes = figure(far.max(), 3) if len(far) == 1 else f"{figure(far.min(), 3)} to {figure(far.max(), 3)}"
    return (
        f"{len(far)} of {count(len(pairs), 'trial')} {'is' if len(far) == 1 else 'are'} {sizes} nats below the exact "
        "pPCA of the same D, a linear model that needs no training."
    )


def other_bound(sweep: Sweep) -> str:
    """That trials were trained on the IWAE bound, and what that means for the numbers below."""
    done = sweep.trials[sweep.trials["status"] == FINISHED]
    on_iwae = done["objective.name"] == "iwae" if "objective.name" in done else pd.Series(dtype=bool)
    if not on_iwae.any():
        return ""
    if not trained_on_iwae(sweep):
        return (
            f"{int(on_iwae.sum())} of {count(len(done), 'finished trial')} maximised the IWAE bound and are ranked "
            "here by the ELBO, which is not what they were trained for."
        )
    trained = sorted(done[SAMPLES].dropna().unique()) if SAMPLES in done else []
    with_k = f" with K = {listed([f'{k:g}' for k in trained])}" if len(trained) else ""
    judged = judged_by(sweep)
    ranked = f"are judged here by the {label(judged.value)}"
    if judged.num_importance_samples is None:
        ranked = "are judged here by the ELBO, since the sweep measured no IWAE bound"
    elif judged.rank == judged.value:
        ranked += ", which chooses the best as well: the sweep has no such bound on the validation split"
    return f"All trials maximised the IWAE bound{with_k} and {ranked}. A KL estimator plays no part in that."


def other_scales(sweep: Sweep) -> str:
    """That trials' bounds are bounds of different things, among which there is no best."""
    rows = tables.joined(sweep)
    _, among = comparable(rows)
    if not among:
        return ""
    split = [name for name in SCALES if name in rows and rows[name].nunique(dropna=False) > 1]
    return (
        f"Trials differ in {listed(split)}, which changes what their bounds are bounds of: they cannot be compared, "
        f"and the best is that of the trials with {among} alone."
    )


def late_training(sweep: Sweep) -> str:
    """That most replicates were best in the last tenth of training, and the most that more epochs would gain."""
    table = still_rising(with_dimension(sweep, "replicates"), sweep.history)
    late, n = int(table["late"].sum()), int(table["n"].sum())
    if not n or late <= n / 2:
        return ""
    text = f"{late} of {count(n, 'replicate')} {'was' if n == 1 else 'were'} best in the last tenth of training"
    rising = table[(table["late"] > 0) & np.isfinite(table["slope"].astype(float))]
    if rising.empty:
        return f"{text}: what more epochs would gain is not known."
    slopes = rising["slope"].astype(float)
    text += f": over the last fifth the validation ELBO changed by {_span(slopes, signed=True)} nats per epoch"
    most = rising["most"].dropna().astype(float)
    if most.empty:
        return f"{text}; one seed a trial bounds no gain."
    return (
        f"{text}. A tenth more epochs would gain at most {_span(most)} nats, by trial; what lies further ahead, where "
        "curves flatten or turn, cannot be known from here."
    )


def _span(values: pd.Series, *, signed: bool = False) -> str:
    """`0.3`, or `0.05 to 0.45`; with signs where the least and the largest may differ in theirs."""
    low, high = float(values.min()), float(values.max())
    texts = [f"{'+' if signed and value > 0 else ''}{figure(value, 2)}" for value in (low, high)]
    return texts[0] if texts[0] == texts[1] else f"{texts[0]} to {texts[1]}"


def few_seeds(sweep: Sweep) -> str:
    """That configurations have fewer than three seeds, and that the best was chosen on so few."""
    rows = tables.joined(sweep)
    if rows.empty or "seed" not in rows:
        return ""
    seeds = rows.groupby("config_hash")["seed"].nunique()
    few = seeds[seeds < ENOUGH_SEEDS]
    best = answers.best_bound(sweep)
    chosen = not best.empty and best["candidates"].iloc[0] > 1 and best["basis"].iloc[0] != FRESH
    on_few = bool(chosen and best["n"].iloc[0] < ENOUGH_SEEDS)
    if few.empty:
        return ""
    of = f"{len(few)} of {count(len(seeds), 'configuration')}"
    text = f"{of} {'has' if len(few) == 1 else 'have'} fewer than {ENOUGH_SEEDS} seeds"
    if (few == 1).all():
        text += ": one seed has no interval"
    else:
        text += ": intervals are wide, and little can be told apart"
    if on_few:
        on, among = count(int(best["n"].iloc[0]), "seed"), int(best["candidates"].iloc[0])
        text += f". The best of {among} was chosen on {on}: mostly luck where they are close"
    return f"{text}."


def importance_sampling(sweep: Sweep) -> str:
    """In how many trials the importance weights are too uneven for what rests on them."""
    rows = with_dimension(sweep, "replicates")
    largest = max((int(k) for k in _ladder(rows)), default=0)
    shapes = next((name for name in (HEAVY_SHARE, PARETO) if name in rows and rows[name].notna().any()), "")
    measured = [name for name in (shapes, ESS) if name in rows and rows[name].notna().any()]
    if not measured or largest < 2:
        return ""
    means = rows.groupby("trial")[measured].mean()
    limit = min(FEW_DRAWS, largest / 4)
    most = MANY_HEAVY if shapes == HEAVY_SHARE else HEAVY  # tables of older runs have no share
    heavy = means[shapes] > most if shapes else pd.Series(False, index=means.index)
    thin = means[ESS] < limit if ESS in means else pd.Series(False, index=means.index)
    if not (bad := int((heavy | thin).sum())):
        return ""
    why = []
    if heavy.any():
        tail = f"a Pareto k above {HEAVY:g} on more than {MANY_HEAVY:.0%} of the images"
        tail = tail if shapes == HEAVY_SHARE else f"a typical Pareto k above {HEAVY:g}"
        why.append(f"{tail} in {int(heavy.sum())}")
    if thin.any():
        why.append(f"fewer than {limit:g} effective draws of {largest} in {int(thin.sum())}")
    return (
        f"Importance sampling is unreliable in {bad} of {count(len(means), 'trial')} ({listed(why)}): the IWAE bounds "
        "there hold, but may lie far below log p(x)."
    )


def _ladder(rows: pd.DataFrame) -> list[str]:
    """The K of the measured IWAE bounds."""
    names = [str(name).removeprefix("test.iwae_") for name in rows.columns if str(name).startswith("test.iwae_")]
    return [name for name in names if name.isdigit()]


def never_varied(sweep: Sweep) -> str:
    """Factors and searched settings that were declared, and took one value in all finished trials."""
    spec: dict[str, Any] = sweep.info.get("spec") or {}
    done = sweep.trials[sweep.trials["status"] == FINISHED]
    parts = {"factors": done, "space": done[done["phase"] == SEARCH]}
    said: dict[str, str] = {}
    for part, trials in parts.items():
        declared = spec.get(part)
        for name in declared if isinstance(declared, dict) else {}:
            if name in trials and len(trials) > 1 and trials[name].nunique(dropna=False) == 1:
                said[name] = f"{name} ({_value(trials[name].iloc[0])})"
    said = {name: text for name, text in said.items() if done[name].nunique(dropna=False) == 1}
    if not said:
        return ""
    one = len(said) == 1
    return (
        f"{listed(list(said.values()))} {'was' if one else 'were'} declared and took one value in every finished "
        f"trial: of {'its' if one else 'their'} influence this sweep says nothing."
    )


def _value(value: object) -> str:
    """A setting as it is read."""
    if isinstance(value, float):
        return "none" if math.isnan(value) else figure(value)
    return str(value)
