"""The truth box warns where a statistic of all trials says so, and is silent otherwise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from report_pages import sweep, words
from synthetic_truth import FLOOR

from analysis.pages.overview import answers, truth
from analysis.pages.overview.page import page
from analysis.statistics.headline import headline
from analysis.tables import Sweep

QUICK: dict[str, Any] = {
    "variance_study": False,
    "gradients": False,
    "evidence": False,
    "calibration": False,
    "pictures": False,
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    """Two dimensions, two estimators, three seeds; nothing to warn of."""
    return sweep(tmp_path_factory.mktemp("sweep"), **QUICK)


def changed(data: Sweep, **columns: Any) -> Sweep:
    """The sweep with other columns in its replicates."""
    return replace(data, replicates=data.replicates.assign(**{k.replace("__", "."): v for k, v in columns.items()}))


def test_models_worse_than_no_z_are_the_first_sentence(data: Sweep) -> None:
    lowered = changed(data, test__elbo=data.replicates["test.elbo"] - 500.0, test__active_units=0.0)
    said = truth.warnings(lowered)
    gap = FLOOR - lowered.replicates.groupby("trial")["test.elbo"].mean().max()
    assert said[0].startswith("Beware: 4 of 4 finished trials are worse than a histogram of each pixel")
    assert f"the best trial is {gap:.1f} nats below it" in said[0]
    assert "4 trials have no active latent unit" in said[0]
    assert truth.without_z(changed(data, test__elbo=data.replicates["test.elbo"] + 500.0)) == ""


def test_replicates_without_a_finite_bound_are_counted_and_left_out(data: Sweep) -> None:
    low = data.replicates["test.elbo"] - 500.0
    holes = changed(data, test__elbo=np.where(data.replicates["trial"] == 0, np.inf, low))
    assert "3 of 3 finished trials" in truth.without_z(holes)
    assert truth.not_finite(holes).startswith("3 of 12 finished replicates have no finite test ELBO (trials 0)")
    assert truth.not_finite(data) == ""


def test_the_floor_is_that_of_each_trials_own_data_and_of_no_density(data: Sweep) -> None:
    """Two data sets with floors 1000 nats apart; a Gaussian likelihood has densities, which no histogram bounds."""
    names = np.where(data.trials["trial"] < 2, "easy", "hard")
    floors = [("easy", "histogram_floor", np.nan, "test", -1000.0), ("hard", "histogram_floor", np.nan, "test", 0.0)]
    references = pd.DataFrame(floors, columns=["data", "reference", "model.latent_dim", "split", "nats"])
    mixed = replace(data, trials=data.trials.assign(**{"data.name": names}), references=references)
    assert truth.without_z(mixed).startswith("Beware: 2 of 4 finished trials are worse than")
    assert "cannot be compared" in truth.other_scales(mixed)
    assert truth.without_z(replace(mixed, trials=mixed.trials.assign(**{"model.likelihood.name": "gaussian"}))) == ""


def test_trials_far_below_the_exact_ppca_are_counted(data: Sweep) -> None:
    # whose pPCA is 8 nats below the true bound
    assert truth.below_ppca(data) == ""
    low = changed(data, test__elbo=data.replicates["test.elbo"] - 60.0)
    means = low.replicates.merge(data.trials[["trial", "model.latent_dim"]], on="trial")
    means = means.groupby("trial").agg(bound=("test.elbo", "mean"), d=("model.latent_dim", "first"))
    exact = data.references[data.references["reference"] == "ppca"].set_index("model.latent_dim")["nats"]
    gaps = means["d"].map(exact) - means["bound"]
    assert truth.below_ppca(low).startswith(f"4 of 4 trials are {gaps.min():.1f} to {gaps.max():.1f} nats below")
    gaussian = replace(low, trials=low.trials.assign(**{"model.likelihood.name": "gaussian"}))
    assert truth.below_ppca(gaussian) == ""  # references of levels, bounds of densities
    densities = replace(gaussian, references=data.references[data.references["reference"] == "ppca"])
    assert truth.below_ppca(densities) == truth.below_ppca(low)


def test_a_sweep_without_a_finished_trial_says_so_first(data: Sweep) -> None:
    failed = replace(data, trials=data.trials.assign(status="failed"), replicates=pd.DataFrame({"trial": []}))
    assert truth.warnings(failed) == ["No trial has finished: 4 failed."]
    assert truth.unfinished(data) == ""


def as_iwae(data: Sweep, k: Any, *, name: Any = "iwae") -> Sweep:
    return replace(data, trials=data.trials.assign(**{"objective.name": name, "objective.num_importance_samples": k}))


def test_trials_of_the_iwae_bound_are_judged_by_it_and_without_kl_estimators(data: Sweep) -> None:
    iwae = as_iwae(data, [1, 8, 1, 8])
    said = truth.other_bound(iwae)
    assert "with K = 1 and 8 and are judged here by the test IWAE bound with K = 8" in said
    assert "no such bound on the validation split" in said
    validated = changed(iwae, validation__iwae_8=iwae.replicates["test.iwae_8"])
    assert "validation split" not in truth.other_bound(validated)
    (factor,) = answers.factors(iwae, headline(iwae))
    assert factor.startswith("Whether the objective.num_importance_samples matters")
    text = words([page(iwae)])
    assert "closed form" not in text
    assert "The best test IWAE bound with K = 8 is" in text
    assert truth.other_bound(data) == ""
    some = as_iwae(data, 8, name=["iwae", "elbo", "elbo", "elbo"])
    assert truth.other_bound(some).startswith("1 of 4 finished trials maximised the IWAE bound and are ranked")


def test_few_seeds_are_said_of_configurations_and_of_the_choice(tmp_path: Path) -> None:
    said = truth.few_seeds(sweep(tmp_path / "two", replicates=2, **QUICK))
    assert said.startswith("4 of 4 configurations have fewer than 3 seeds: intervals are wide")
    assert "The best of 4 was chosen on 2 seeds" in said
    one = truth.few_seeds(sweep(tmp_path / "one", replicates=1, estimators=("closed_form",), dims=(2,), **QUICK))
    assert one == "1 of 1 configuration has fewer than 3 seeds: one seed has no interval."
    assert truth.few_seeds(sweep(tmp_path / "three", replicates=3, **QUICK)) == ""


def test_uneven_importance_weights_are_counted_by_trial(data: Sweep) -> None:
    assert truth.importance_sampling(data) == ""
    trial = data.replicates["trial"]
    heavy = changed(data, test__pareto_k=np.where(trial == 1, 0.9, 0.2), test__pareto_k_unreliable=np.nan)  # older
    assert "in 1 of 4 trials (a typical Pareto k above 0.7 in 1)" in truth.importance_sampling(heavy)
    # Where the tables have the share of images, it decides: it counts an infinite k, too.
    share = changed(data, test__pareto_k=0.2, test__pareto_k_unreliable=np.where(trial == 1, 0.6, 0.05))
    said = truth.importance_sampling(share)
    assert "in 1 of 4 trials (a Pareto k above 0.7 on more than 50% of the images in 1)" in said
    thin = changed(heavy, test__effective_sample_size=np.where(trial < 2, 3.0, 300.0))
    said = truth.importance_sampling(thin)
    assert "in 2 of 4 trials (a typical Pareto k above 0.7 in 1 and fewer than 10 effective draws of 512 in 2)" in said


def test_what_was_declared_and_never_varied_is_named(data: Sweep) -> None:
    assert truth.never_varied(data) == ""
    spec = {"factors": {"objective.beta": [1.0], "kl.estimator": ["closed_form", "monte_carlo"]}}
    info = {**data.info, "spec": spec}
    assert truth.never_varied(replace(data, info=info)).startswith("objective.beta (1) was declared and took one value")
    stopped = np.where(data.trials["kl.estimator"] == "monte_carlo", "stopped", "finished")
    lost = replace(data, info=info, trials=data.trials.assign(status=stopped))
    assert truth.never_varied(lost).startswith("objective.beta (1) and kl.estimator (closed_form) were declared")
    assert truth.never_varied(replace(data, info={**data.info, "spec": None})) == ""


@pytest.mark.parametrize(("share", "said"), [(1.0, True), (0.5, False)])
def test_training_that_ended_too_early_is_warned_of(tmp_path: Path, share: float, said: bool) -> None:
    data = sweep(tmp_path, **{**QUICK, "epochs": 30})
    early = changed(data, best_epoch=share * data.replicates["epochs"])
    text = truth.late_training(early)
    assert text.startswith("12 of 12 replicates were best in the last tenth of training") == said
    if said:
        last = data.history[data.history["epoch"] > 24]
        slopes = [
            np.polyfit(rows["epoch"], rows["validation.elbo"], 1)[0] for _, rows in last.groupby(["trial", "replicate"])
        ]
        means = np.reshape(slopes, (4, 3)).mean(axis=1)
        assert f"changed by +{min(means):.2g} to" in text or f"changed by −{abs(min(means)):.2g} to" in text
        assert "A tenth more epochs would gain at most" in text
        one = replace(early, replicates=early.replicates[early.replicates["replicate"] == 0])
        assert "one seed a trial bounds no gain" in truth.late_training(one)
        assert "is not known" in truth.late_training(replace(early, history=early.history.head(0)))
