"""The numbers in the report's sentences are those of its tables, recomputed here with numpy and scipy alone."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from report_pages import NOTHING, sweep
from scipy import stats
from synthetic_truth import FLOOR

from analysis.pages.overview import answers, truth
from analysis.statistics.headline import headline
from analysis.tables import Sweep

SWEEPS: list[dict[str, Any]] = [
    {
        "seed": seed,
        "replicates": (2, 3, 3, 5)[seed % 4],
        "dims": ((2, 4, 8), (2, 8), (4, 8, 16), (2, 4, 8, 16))[seed // 5],
        "suspect": seed % 3,
        "search_trials": seed % 2,
    }
    for seed in range(20)
]


def rounded(text: str) -> float:
    """Half of the last digit that a number shows."""
    return 0.5 * 10.0 ** -len(text.partition(".")[2])


def first_number(pattern: str, sentence: str) -> tuple[float, float]:
    """The first number after a pattern, and how far it may be rounded."""
    match = re.search(pattern + r"(−?\d+(?:\.\d+)?)", sentence)
    assert match, (pattern, sentence)
    return float(match[1].replace("−", "-")), rounded(match[1])


def cells(data: Sweep, column: str) -> pd.DataFrame:
    """Configurations x seeds of a column."""
    rows = data.replicates.merge(data.trials[["trial", "config_hash"]], on="trial")
    return rows.pivot_table(index="config_hash", columns="seed", values=column)


@pytest.mark.parametrize("options", SWEEPS, ids=lambda options: str(options["seed"]))
def test_the_answers_are_what_the_tables_say(tmp_path: Path, options: dict[str, Any]) -> None:
    data = sweep(tmp_path, **NOTHING, **options)
    check_best(data, answers.best(data))
    check_factor(data, *answers.factors(data, headline(data)))
    doubtful = options["suspect"]
    said = {0: "No trial is suspect", 1: "1 trial is suspect", 2: "2 trials are suspect"}[doubtful]
    assert said in answers.trust(data)
    check_warnings(data, truth.warnings(data))


def check_best(data: Sweep, sentence: str) -> None:
    """Leave one seed out: the mean of what the others choose, and how much better the chosen one looks."""
    rank, value = cells(data, "validation.elbo"), cells(data, "test.elbo")
    assert list(rank.columns) == list(value.columns)
    read = [value.loc[rank.drop(columns=seed).mean(axis=1).idxmax(), seed] for seed in value]
    shown, half = first_number(r"The best test ELBO is ", sentence)
    assert abs(shown - np.mean(read)) <= half + 1e-9
    best = rank.mean(axis=1).idxmax()
    d = data.trials.set_index("config_hash").loc[best, "model.latent_dim"]
    assert f"at D = {d} (" in sentence
    optimism = value.loc[best].mean() - np.mean(read)
    if optimism > 0.005:
        own, half = first_number(r"\(its own mean, ", sentence)
        assert abs(own - value.loc[best].mean()) <= half + 1e-9
        assert f"is {optimism:.2f} nats too good" in sentence
    others = len(value) - 1
    assert f"one of the {others} other configuration" in sentence


def check_factor(data: Sweep, sentence: str) -> None:
    """Seed by seed over all D, no surer than independent dimensions are; then each D, after Holm."""
    designed = data.trials[data.trials["phase"] == "factorial"]
    rows = data.replicates.merge(designed[["trial", "model.latent_dim", "kl.estimator"]], on="trial")
    wide = rows.pivot_table(index=["model.latent_dim", "seed"], columns="kl.estimator", values="test.elbo")
    differences = (wide["closed_form"] - wide["monte_carlo"]).unstack("seed")
    overall = differences.mean(axis=0)
    n, dimensions = differences.shape[1], len(differences)
    pooled = np.sqrt(differences.var(axis=1, ddof=1).mean() / n)
    errors = ((overall.std(ddof=1) / np.sqrt(n), n - 1), (pooled / np.sqrt(dimensions), dimensions * (n - 1)))
    error, degrees = max(errors, key=lambda pair: pair[0] * stats.t.ppf(0.975, pair[1]))
    half = error * stats.t.ppf(0.975, degrees)
    shown = re.search(r"differs by (−?[\d.]+) \[(−?[\d.]+), (−?[\d.]+)\]", sentence) or re.search(
        r"larger than [\d.]+ nats: (−?[\d.]+) \[(−?[\d.]+), (−?[\d.]+)\]", sentence
    )
    assert shown, sentence
    for text, expected in zip(shown.groups(), (overall.mean(), overall.mean() - half, overall.mean() + half)):
        assert abs(float(text.replace("−", "-")) - expected) <= rounded(text) + 1e-9
    better = "losed form is better than" if overall.mean() > 0 else "losed form is worse than"
    assert (better in sentence) == (abs(overall.mean()) > half)
    p = 2 * stats.t.sf(np.abs(differences.mean(axis=1)) / pooled, len(differences) * (n - 1))
    order = np.argsort(p)
    adjusted = np.minimum(1.0, np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)))
    count = int((adjusted < 0.05).sum())
    told = f"at {count}" if count else "at none"
    clearest = differences.index[order[0]]  # the least p-value, which need not be the largest difference
    assert f"told apart {told} of {len(p)}, clearest at D = {clearest}:" in sentence
    assert f"(Holm-adjusted p = {adjusted[0]:.2g})" in sentence


def check_warnings(data: Sweep, warnings: list[str]) -> None:
    """The counts of the truth box."""
    text = " ".join(warnings)
    replicates = data.replicates
    worse = int((replicates.groupby("trial")["test.elbo"].mean() < FLOOR).sum())
    assert (f"{worse} of {len(data.trials)} finished trial" in text) == (worse > 0)
    seeds = replicates.groupby("trial")["seed"].nunique()
    assert ("fewer than 3 seeds" in text) == bool((seeds < 3).any())
    late = int((replicates["best_epoch"] >= 0.9 * replicates["epochs"]).sum())
    assert text.count(f"{late} of {len(replicates)} replicates were best in the last tenth") == (
        late > len(replicates) / 2
    )


def test_the_clearest_difference_is_named_not_the_largest(tmp_path: Path) -> None:
    """1.3 nats at D = 2 with two seeds of six, 0.9 at D = 8 with all: the second is the clearer."""
    data = sweep(tmp_path, replicates=6, **NOTHING)
    rows = data.replicates.merge(data.trials[["trial", "model.latent_dim", "kl.estimator"]], on="trial")
    gap = np.where(rows["model.latent_dim"] == 2, 1.3, 0.9) * (rows["kl.estimator"] == "closed_form")
    noise = np.random.default_rng(5).normal(size=len(rows)) * 0.05
    kept = (rows["model.latent_dim"] == 8) | (rows["replicate"] < 2)
    replicates = data.replicates.assign(**{"test.elbo": -100.0 + gap + noise})[kept.to_numpy()]
    wide = rows.assign(bound=replicates["test.elbo"]).pivot_table(
        index=["model.latent_dim", "seed"], columns="kl.estimator", values="bound"
    )
    means = (wide["closed_form"] - wide["monte_carlo"]).groupby("model.latent_dim").mean()
    assert means.idxmax() == 2
    thinned = replace(data, replicates=replicates)
    (sentence,) = answers.factors(thinned, headline(thinned))
    assert "clearest at D = 8" in sentence
