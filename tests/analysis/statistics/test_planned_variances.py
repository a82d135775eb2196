"""How sure a plan is, on simulated sweeps whose variances are known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import synthetic
import synthetic_truth as truth

from analysis import tables
from analysis.statistics import planning
from analysis.statistics.intervals import variance_interval
from analysis.statistics.planned_variances import seed_variances

SEEDS_SD, TARGET = 0.5, 0.15


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> tables.Sweep:
    """Five D of two estimators, three seeds each; the study of the Monte Carlo ELBO alone."""
    folder = tmp_path_factory.mktemp("runs") / "plain"
    options = {"dims": (2, 4, 8, 16, 32), "num_samples": (1,), "search_trials": 0, "confirm_trials": 0}
    loaded = tables.load(synthetic.write(folder, epochs=1, pictures=False, replicates=3, **options))
    rows = (loaded.variance["quantity"] == "elbo_monte_carlo") & (loaded.variance["sampling"] == "iid")
    return replace(loaded, variance=loaded.variance[rows & loaded.variance["num_samples"].isin([1, 8])])


def redrawn(sweep: tables.Sweep, rng: np.random.Generator) -> tables.Sweep:
    """Fresh seeds of known spread, and the standard error that fresh images of known spread show."""
    frame = sweep.replicates
    n = truth.TEST_IMAGES
    error = truth.BETWEEN_IMAGES * np.sqrt(rng.chisquare(n - 1) / (n - 1) / n)
    bound = -100.0 + SEEDS_SD * rng.normal(size=len(frame))
    columns = {"test.elbo_monte_carlo": bound, "test.elbo_monte_carlo.standard_error": error}
    return replace(sweep, replicates=frame.assign(**columns))


def the_true_plans(sweep: tables.Sweep) -> pd.DataFrame:
    """D and scope -> the design that the true variances ask for."""
    rows = planning.measured(sweep).assign(
        between_replicates=SEEDS_SD**2, between_images=truth.BETWEEN_IMAGES**2, replicate_degrees=1e6, image_degrees=1e6
    )
    plans = {
        (dim, scope): planning.cheapest(group, TARGET, size)[0]
        for dim, group in rows.groupby("model.latent_dim")
        for scope, size in ((planning.NEW_IMAGES, None), (planning.THIS_SPLIT, truth.TEST_IMAGES))
    }
    table = pd.DataFrame([plan._asdict() for plan in plans.values()], index=pd.MultiIndex.from_tuples(plans))
    return table.assign(seconds=table["seconds_training"] + table["seconds_evaluation"])


def test_intervals_of_a_plan_hold_what_the_truth_asks_for(plain: tables.Sweep) -> None:
    rng, inside, planned = np.random.default_rng(11), [], []
    true = the_true_plans(plain)
    for _ in range(30):
        table = planning.plan(redrawn(plain, rng), TARGET).set_index(["model.latent_dim", "scope"])
        wanted = true.reindex(table.index)
        held = {}
        for name in ("replicates", "images", "seconds"):
            above = table[f"{name}_low"] <= wanted[name] * (1 + 1e-9)
            held[name] = (above & (table[f"{name}_high"] >= wanted[name] * (1 - 1e-9))).mean()
        inside.append(held)
        planned.append(table["replicates"].xs(planning.THIS_SPLIT, level="scope").to_numpy())
    for name in inside[0]:  # 30 sweeps: 0.95 less three standard errors, as the D share their variance
        assert np.mean([sweep[name] for sweep in inside]) > 0.83, name
    asked = float(true["replicates"].xs(planning.THIS_SPLIT, level=1).mean())
    low, high = np.quantile(np.concatenate(planned), [0.05, 0.95])
    assert asked / 2.2 < low < asked < high < 2.2 * asked, "pooled over D: not 4 to 53 where 22 are needed"


def test_the_seed_variance_is_pooled_over_d_and_its_interval_covers(plain: tables.Sweep) -> None:
    rng, covered = np.random.default_rng(12), []
    estimators = pd.DataFrame({"quantity": ["elbo_monte_carlo"], "num_importance_samples": [np.nan]})
    joined = tables.joined(plain)
    for _ in range(100):
        replicates = joined.assign(**{"test.elbo_monte_carlo": SEEDS_SD * rng.normal(size=len(joined))})
        row = seed_variances(replicates, estimators, ["model.latent_dim"]).iloc[0]
        assert 10 < row["replicate_degrees"] <= 20  # two series of five cells with two degrees of freedom each
        low, high = variance_interval(row["between_replicates"], row["replicate_degrees"])
        covered.append(bool(low <= SEEDS_SD**2 <= high))
    assert np.mean(covered) > 0.95 - 3 * np.sqrt(0.95 * 0.05 / 100)


def test_a_kl_is_not_pooled_over_d() -> None:
    rng = np.random.default_rng(13)
    rows = [(t, d, 0.1 * d * rng.normal()) for t, d in enumerate((1, 30)) for _ in range(40)]
    frame = pd.DataFrame(rows, columns=["trial", "model.latent_dim", "test.kl_monte_carlo"])
    frame["test.elbo_monte_carlo"] = frame["test.kl_monte_carlo"]
    estimators = pd.DataFrame({"quantity": ["k1", "elbo_monte_carlo"], "num_importance_samples": np.nan})
    table = seed_variances(frame, estimators, ["model.latent_dim"]).set_index(["quantity", "model.latent_dim"])
    assert table.loc[("k1", 1), "between_replicates"] == pytest.approx(0.01, rel=0.7)
    assert table.loc[("k1", 30), "between_replicates"] == pytest.approx(9.0, rel=0.7)
    assert table.loc["elbo_monte_carlo", "between_replicates"].nunique() == 1


def test_what_two_seeds_cannot_know_is_said(tmp_path: Path) -> None:
    options = {"estimators": ("closed_form",), "num_samples": (1,), "search_trials": 0, "confirm_trials": 0}
    sweep = tables.load(synthetic.write(tmp_path, dims=(2, 8), replicates=2, epochs=1, pictures=False, **options))
    table = planning.plan(sweep, 0.1)
    assert not table["reachable"].any()
    bounds = table[table["quantity"] == "elbo_monte_carlo"]
    assert (bounds["note"] == "cannot know from 2 seeds a trial (2 of 3 degrees of freedom)").all()
    ranges = [f"{name}_{end}" for name in planning.RANGED for end in ("low", "high")]
    assert table[ranges].isna().all(axis=None)


def test_without_evaluated_images_the_study_says_how_images_differ(plain: tables.Sweep) -> None:
    bare = plain.replicates.drop(columns="test.elbo_monte_carlo.standard_error")
    table = planning.measured(replace(plain, replicates=bare))
    assert (table["image_degrees"] == truth.STUDY_IMAGES - 1).all()
    few = plain.trials.assign(**{"evaluation.max_images": 40})
    assert (planning.measured(replace(plain, trials=few))["image_degrees"] == truth.STUDY_IMAGES - 1).all()
    more = plain.trials.assign(**{"evaluation.max_images": 200})
    assert (planning.measured(replace(plain, trials=more))["image_degrees"] == 199).all()
