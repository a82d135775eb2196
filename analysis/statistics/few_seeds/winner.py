"""What the best configuration really reaches, when it was chosen and measured on the same few seeds.

    winner(replicates, "test.elbo", within="kl.estimator", choose_by="validation.elbo")
    # one row: config_hash, chosen_mean -89.63, estimate -89.84 (low, high), optimism 0.21, probability_not_best

The best of many noisy means is partly the luckiest: its mean is too good (the winner's curse). Leaving one seed out
removes that without further training: choose on the other seeds, read the seed that had no say, and average over seeds.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from analysis.statistics.few_seeds.pooled import pooled_means, series_variance
from analysis.statistics.intervals import CONFIDENCE, By, Floats, as_list, summarise, t_interval

LEFT_OUT, FRESH, ONLY = "each seed left out of the choice in turn", "fresh seeds", "the only configuration"
"""Column `basis`: what keeps the number free of the choice."""
RESAMPLES = 1000
LARGEST_BLOCK = 2_000_000
"""Numbers of a simulation that are held at once (16 MB)."""
COLUMNS = ["n", "candidates", "chosen_mean", "estimate", "optimism", "standard_error", "low", "high"]
COLUMNS += ["probability_not_best", "readings", "degrees", "basis", "note"]


class Cells(NamedTuple):
    """The replicates of all candidates as arrays: cells x seeds, NaN where a cell lacks a seed."""

    names: list[object]
    scores: Floats
    """What the choice is made by; more is better."""
    values: Floats
    """What is reported; more is better."""
    score_sd: Floats
    value_sd: Floats
    degrees: Floats
    series: np.ndarray
    """Number of the series of each cell: cells of one share their variance."""
    correlation: float
    """Of score and value within a cell."""


def winner(
    frame: pd.DataFrame,
    value: str,
    *,
    cell: str = "config_hash",
    within: By = (),
    choose_by: str | None = None,
    seed: str = "seed",
    maximise: bool = True,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
) -> pd.DataFrame:
    """The best cell, and its mean without the luck of having been chosen.

    The estimate is leave-one-seed-out cross-validation over the choice: for each seed the cell with the best mean on
    all other seeds is read at that seed (Varma & Simon 2006 for nested cross-validation; Andrews, Kitagawa & McCloskey
    2024 for the winner's curse and intervals that allow for it). Its readings are not independent, since each seed has
    a say in the choice for all others, so a t-interval over them is too narrow. The interval is a parametric
    bootstrap-t (Efron & Tibshirani 1993, section 12.5): sweeps of this design are drawn around the observed means with
    each series' pooled seed variance, and the quantile of |estimate - mean of the chosen cell| / standard error
    replaces Student's.

    Args:
        frame: One row per replicate, of all candidates.
        value: Column that is reported.
        cell: Column that names a candidate.
        within: Columns that define a series, whose cells share their variance.
        choose_by: Column that ranks the candidates (None: `value`).
        seed: Column that names the seed.
        maximise: Direction of both columns.
        resamples: Simulated sweeps behind the interval, from a fixed seed.
        confidence: Level of the interval.

    Returns:
        One row: `cell` (the best on all seeds), `n` (its seeds), `candidates`, `chosen_mean` (too good), `estimate`,
        `optimism` (removed: how much better the chosen mean looks), `standard_error`, `low`, `high`,
        `probability_not_best` (that another candidate has the better mean), `readings` (seeds that were left out),
        `degrees` (of freedom of the best's variance), `basis`, `note` ("" or why there is no estimate). No row without
        finite values.
    """
    score = value if choose_by is None else choose_by
    frame = frame[np.isfinite(frame[[value, score]].to_numpy(float)).all(axis=1)]
    if frame.empty:
        return pd.DataFrame(columns=[cell, *COLUMNS])
    cells = _cells(frame, value, score, cell, as_list(within), seed, 1.0 if maximise else -1.0)
    row = headline_of(cells, resamples, confidence)
    if not maximise:
        row |= {name: -row[name] for name in ("chosen_mean", "estimate")}
        row |= {"low": -row["high"], "high": -row["low"]}
    return pd.DataFrame([row]).rename(columns={"name": cell})[[cell, *COLUMNS]]


def _cells(frame: pd.DataFrame, value: str, score: str, cell: str, within: list[str], seed: str, sign: float) -> Cells:
    """Arrays of the candidates, with the pooled spread of each column."""
    work = frame.assign(**{value: sign * frame[value], score: sign * frame[score]})
    means = work.groupby([cell, seed], dropna=False)[list(dict.fromkeys([value, score]))].mean()
    wide = {name: means[name].unstack(seed) for name in (value, score)}
    labels = work.drop_duplicates(cell).set_index(cell).reindex(wide[value].index)[within].reset_index(drop=True)
    spread = {}
    for name, table in wide.items():
        moments = labels.assign(n=table.count(axis=1).to_numpy(), sd=table.std(axis=1, ddof=1).to_numpy())
        spread[name] = series_variance(moments, within)
    residuals = [(table.sub(table.mean(axis=1), axis=0)).to_numpy().ravel() for table in (wide[score], wide[value])]
    kept = np.isfinite(residuals[0])
    squares = [float(np.sum(r[kept] ** 2)) for r in residuals]
    product = float(np.sum(residuals[0][kept] * residuals[1][kept]))
    correlation = product / np.sqrt(squares[0] * squares[1]) if min(squares) > 0 else 1.0
    return Cells(
        list(wide[value].index),
        wide[score].to_numpy(float),
        wide[value].to_numpy(float),
        spread[score]["pooled_sd"].to_numpy(float),
        spread[value]["pooled_sd"].to_numpy(float),
        spread[value]["degrees"].to_numpy(float),
        labels.assign(_one=0).groupby([*within, "_one"], dropna=False).ngroup().to_numpy(),
        float(np.clip(correlation, -1.0, 1.0)),
    )


def headline_of(cells: Cells, resamples: int = RESAMPLES, confidence: float = CONFIDENCE) -> dict[str, Any]:
    """The numbers of `winner` from arrays, where more is better; the cell is under `name`."""
    present = np.isfinite(cells.values)
    best = int(np.nanmean(cells.scores, axis=1).argmax())
    n, mean = int(present[best].sum()), float(np.nanmean(cells.values[best]))
    row: dict[str, Any] = {"name": cells.names[best], "n": n, "candidates": len(cells.names), "chosen_mean": mean}
    nothing = dict.fromkeys(("estimate", "optimism", "standard_error", "low", "high", "probability_not_best"), np.nan)
    row |= {**nothing, "readings": 0, "degrees": float(cells.degrees[best]), "basis": "", "note": ""}
    if len(cells.names) == 1:
        own = float(cells.value_sd[0] / np.sqrt(n))
        low, high = t_interval(mean, own, cells.degrees[0], confidence)
        row |= {"estimate": mean, "optimism": 0.0, "standard_error": own, "low": float(low), "high": float(high)}
        note = "" if n > 1 else "one seed: no interval"
        return row | {"probability_not_best": 0.0, "readings": n, "basis": ONLY, "note": note}
    estimate, error, readings = left_out(cells.scores[None], cells.values[None], cells.value_sd[None], present)
    if readings[0] < 2:
        return row | {"note": "one seed each: what is chosen and what is measured cannot be separated"}
    row |= {"estimate": float(estimate[0]), "optimism": mean - float(estimate[0]), "readings": int(readings[0])}
    row |= {"standard_error": float(error[0]), "basis": LEFT_OUT}
    if not np.isfinite(error[0]):
        return row | {"note": "a candidate's spread is unknown: no interval"}
    quantile, not_best = _simulated(cells, present, best, resamples, confidence)
    row |= {"low": float(estimate[0] - quantile * error[0]), "high": float(estimate[0] + quantile * error[0])}
    return row | {"probability_not_best": not_best}


def left_out(scores: Floats, values: Floats, sd: Floats, present: np.ndarray) -> tuple[Floats, Floats, Floats]:
    """(estimate, standard error, readings) of sweeps x cells x seeds; `sd` sweeps x cells, `present` cells x seeds."""
    filled = np.where(present, scores, 0.0)
    totals, counts = filled.sum(axis=-1), present.sum(axis=-1)
    sums = squares = readings = np.zeros(len(scores))
    each = np.arange(len(scores))
    for k in range(present.shape[1]):
        left = counts - present[:, k]
        means = np.where(left > 0, (totals - filled[..., k]) / np.maximum(left, 1), -np.inf)
        chosen = means.argmax(axis=-1)
        read = present[chosen, k] & (left > 0).any()
        sums = sums + np.where(read, values[each, chosen, k], 0.0)
        squares = squares + np.where(read, sd[each, chosen] ** 2, 0.0)
        readings = readings + read
    counted = np.where(readings > 0, readings, np.nan)
    return sums / counted, np.sqrt(squares) / counted, readings


def _simulated(cells: Cells, present: np.ndarray, best: int, resamples: int, confidence: float) -> tuple[float, float]:
    """(quantile of the studentised error, probability that another cell has the better mean)."""
    rng = np.random.default_rng(0)
    # A candidate whose spread is unknown (one seed, alone in its series) is taken to spread as the others do.
    sd, score_sd = (
        np.where(np.isfinite(spread), spread, np.sqrt(np.nanmean(spread**2)))
        for spread in (cells.value_sd, cells.score_sd)
    )
    means = [np.nanmean(table, axis=1) for table in (cells.scores, cells.values)]
    degrees = np.maximum(cells.degrees, 1.0)
    first = np.array([int(np.flatnonzero(cells.series == s)[0]) for s in range(int(cells.series.max()) + 1)])
    ratios, beaten, done = [], 0, 0
    block = max(1, LARGEST_BLOCK // cells.values.size)
    while done < resamples:
        size = min(block, resamples - done)
        noise, further = rng.standard_normal((2, size, *cells.values.shape))
        spread = np.sqrt(rng.chisquare(degrees[first], size=(size, len(first))) / degrees[first])[:, cells.series]
        rest = np.sqrt(1.0 - cells.correlation**2)
        scores = means[0][:, None] + score_sd[:, None] * (cells.correlation * noise + rest * further)
        values = means[1][:, None] + sd[:, None] * noise
        estimate, error, readings = left_out(scores, values, sd * spread, present)
        chosen = np.where(present, scores, 0.0).sum(axis=-1) / present.sum(axis=-1)
        off = estimate - means[1][chosen.argmax(axis=-1)]
        kept = (readings > 0) & (error > 0)
        ratios.append(np.abs(off[kept]) / error[kept])
        posterior = means[1] + sd / spread * further[..., 0] / np.sqrt(present.sum(axis=-1))
        beaten += int((posterior.argmax(axis=-1) != best).sum())
        done += size
    ratio = np.concatenate(ratios)
    return float(np.quantile(ratio, confidence)) if len(ratio) else 0.0, beaten / resamples


def winner_on_fresh_seeds(
    frame: pd.DataFrame,
    value: str,
    *,
    fresh: pd.Series,
    cell: str = "config_hash",
    within: By = (),
    choose_by: str | None = None,
    maximise: bool = True,
    confidence: float = CONFIDENCE,
) -> pd.DataFrame:
    """The best cell by the seeds that chose it, measured on seeds that had no say: a confirmation.

    Args:
        frame: One row per replicate.
        value: Column that is reported.
        fresh: True for rows of seeds that had no say (phase `confirm`), indexed as the frame.
        cell: Column that names a candidate.
        within: Columns that define a series, whose cells share their variance.
        choose_by: Column that ranks (None: `value`).
        maximise: Direction of both columns.
        confidence: Level of the interval.

    Returns:
        `winner`'s row, with the Student t-interval of the fresh seeds; no row where the best has none, or none that
        chose it.
    """
    score = value if choose_by is None else choose_by
    usable = np.isfinite(frame[[value, score]].to_numpy(float)).all(axis=1)
    choosing, confirming = frame[usable & ~fresh.to_numpy()], frame[usable & fresh.to_numpy()]
    if choosing.empty or confirming.empty:
        return pd.DataFrame(columns=[cell, *COLUMNS])
    sign = 1.0 if maximise else -1.0
    ranking = summarise(choosing, score, cell)
    best = ranking.iloc[int((sign * ranking["mean"]).to_numpy().argmax())][cell]
    keys = [name for name in as_list(within) if name != cell]
    measured = pooled_means(confirming, value, [*keys, cell], within=keys, confidence=confidence)
    measured = measured[measured[cell] == best]
    if measured.empty:
        return pd.DataFrame(columns=[cell, *COLUMNS])
    seen = float(choosing.loc[choosing[cell] == best, value].mean())
    table = measured.head(1).rename(columns={"mean": "estimate"})
    table = table.assign(candidates=len(ranking), chosen_mean=seen, optimism=sign * (seen - table["estimate"]))
    note = np.where(table["n"] > 1, "", "one fresh seed: no interval")
    table = table.assign(probability_not_best=np.nan, readings=table["n"], basis=FRESH, note=note)
    confirmed: pd.DataFrame = table[[cell, *COLUMNS]].reset_index(drop=True)
    return confirmed
