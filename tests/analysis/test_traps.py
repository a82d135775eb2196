"""Sweeps that once made the report say something false: what it must say of each, and what it must not."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from report_pages import sweep, words

from analysis import report
from analysis.tables import Sweep

QUICK: dict[str, Any] = {"gradients": False, "evidence": False, "calibration": False, "pictures": False}
Change = Callable[[Sweep], Sweep]


def setting(**values: Any) -> Change:
    """Settings of all trials: `setting(model__likelihood__name="gaussian")`."""
    named = {name.replace("__", "."): value for name, value in values.items()}
    return lambda data: replace(data, trials=data.trials.assign(**named))


def failing(data: Sweep) -> Sweep:
    """All trials fail before a replicate is measured."""
    empty = {name: getattr(data, name).head(0) for name in ("variance", "history")}
    trials = data.trials.assign(status="failed", reason="TrainingDiverged: loss is nan")
    return replace(data, trials=trials, replicates=pd.DataFrame({"trial": []}), **empty)


def stopped(data: Sweep) -> Sweep:
    """The search stopped every trial of one estimator."""
    lost = data.trials["kl.estimator"] == "monte_carlo"
    return replace(data, trials=data.trials.assign(status=np.where(lost, "stopped", data.trials["status"])))


def searched(data: Sweep) -> Sweep:
    """The sampler suggested every trial."""
    return replace(data, trials=data.trials.assign(phase="search"))


def few_draws(data: Sweep) -> Sweep:
    """A variance study of 64 draws, whose k3 is as calm as a normal variable."""
    return replace(data, variance=data.variance.assign(draws=64, excess_kurtosis=0.0, infinite=False))


def two_objectives(data: Sweep) -> Sweep:
    """The search traded the bound for time."""
    search = {"objectives": {"validation.elbo": "max", "seconds.training": "min"}}
    return replace(data, info={**data.info, "spec": {"search": search}})


def disagreeing(data: Sweep) -> Sweep:
    """The validation split ranks the second trial first, the test split the first one."""
    order = data.replicates["trial"].map({0: 1.0, 1: 2.0, 2: 0.0, 3: 0.0})
    bounds = {"validation.elbo": -100.0 + order, "test.elbo": -100.0 + np.where(order == 1.0, 9.0, order)}
    noise = 0.1 * data.replicates["replicate"]
    return replace(data, replicates=data.replicates.assign(**{name: x + noise for name, x in bounds.items()}))


def iwae(data: Sweep) -> Sweep:
    """K = 8 is worse by the ELBO, and better by the bound that it was trained for."""
    large = data.trials["trial"] % 2 == 1
    k = np.where(large, 8, 1)
    trials = data.trials.assign(**{"objective.name": "iwae", "objective.num_importance_samples": k})
    trials = trials.assign(**{"kl.estimator": "closed_form", "model.latent_dim": 2 + 6 * (data.trials["trial"] // 2)})
    own = data.replicates["trial"].map(dict(zip(trials["trial"], large)))
    shift = {"test.elbo": np.where(own, -50.0, 0.0), "test.iwae_8": np.where(own, 50.0, 0.0)}
    replicates = data.replicates.assign(**{name: -200.0 + x + data.replicates["seed"] % 7 for name, x in shift.items()})
    return replace(data, trials=trials, replicates=replicates)


TRAPS: dict[str, tuple[dict[str, Any], Change, list[str], list[str]]] = {
    "all trials fail": ({}, failing, ["No trial has finished: 4 failed"], ["nats per image"]),
    "stopped early": (
        {},
        stopped,
        ["declared 2 values of kl.estimator", r"kl\.estimator \(closed_form\) was declared and took one value"],
        ["All trials use one"],
    ),
    "one replicate": (
        {"replicates": 1},
        lambda data: data,
        ["4 of 4 configurations have fewer than 3 seeds: one seed has no interval", "without an interval"],
        ["intervals overlap", r"\bnan", "no measured design"],
    ),
    "search only": ({"replicates": 2}, searched, [], [r"From D = (\d+) to D = \1\b"]),
    "one D": (
        {"dims": (8,)},
        lambda data: data,
        ["All trials have D = 8", r"2 configurations|1 other configuration"],
        [],
    ),
    "IWAE objective": (
        {},
        iwae,
        [
            "All trials maximised the IWAE bound with K = 1 and 8 and are judged here by the test IWAE bound with",
            r"The best test IWAE bound with K = 8 is .*num_importance_samples 8",
            "num_importance_samples 1 is worse than objective.num_importance_samples 8",
        ],
        ["closed form is", r"at D = \d+ \(closed form", "The best test ELBO"],
    ),
    "two objectives": (
        {"search_trials": 3},
        two_objectives,
        [r"2 objectives, validation ELBO \(maximised\) and seconds.training \(minimised\); on their front \d+ trial"],
        [],
    ),
    "Gaussian likelihood": (
        {},
        setting(model__likelihood__name="gaussian"),
        [],
        ["histogram of each pixel", "histogram that uses no z"],
    ),
    "likelihoods mixed": (
        {},
        setting(model__likelihood__name=["gaussian", "categorical", "categorical", "categorical"]),
        ["they cannot be compared", "among trials with model.likelihood.name categorical"],
        [],
    ),
    "Laplace posterior": (
        {},
        setting(model__posterior__name="laplace"),
        ["depends on the posterior and the prior"],
        ["every posterior variance exceeds 1/2"],
    ),
    "flow prior": ({}, setting(model__prior__name="flow"), [], ["every posterior variance exceeds 1/2"]),
    "Gaussian posterior": ({}, lambda data: data, ["every posterior variance exceeds 1/2"], []),
    "64 draws": ({}, few_draws, ["it means nothing at 0 of 2 latent dimensions"], ["Why k3 fails here"]),
    "best by one split": (
        {},
        disagreeing,
        [r"The configuration with the best validation ELBO \(trial 1\)", r"The best point by validation ELBO is D = 8"],
        ["highest mean"],
    ),
    "95 seconds": (
        {},
        lambda data: replace(data, info={**data.info, "seconds": 95.0}),
        ["finished in 95 s"],
        ["2 min"],
    ),
}


@pytest.mark.parametrize("name", TRAPS)
def test_the_trap_comes_out_right(tmp_path: Path, name: str) -> None:
    options, change, must, must_not = TRAPS[name]
    data = change(sweep(tmp_path, **{**QUICK, **options}))
    text = words([build(data) for build in report.PAGES.values()])
    for pattern in must:
        assert re.search(pattern, text), f"{pattern!r} is not said"
    for pattern in must_not:
        assert not re.search(pattern, text), f"{pattern!r} is said"
    assert not re.search(r"\b1 (seeds|trials|replicates|values|configurations|images|dimensions)\b", text)
    assert not re.search(r"\b(?<![\d.,])([2-9]|\d\d+) (seed|trial|replicate|configuration)\b(?! (of|a)\b)", text)
    assert not re.search(r"\b(nan|None|NaN)\b", text)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("column", ["test.elbo", "validation.elbo"])
@pytest.mark.parametrize("rows", [1, 10**6], ids=["one replicate", "all"])
def test_a_bound_that_is_no_number_leaves_a_report(tmp_path: Path, bad: float, column: str, rows: int) -> None:
    data = sweep(tmp_path, variance_study=False, **QUICK)
    values = data.replicates[column].to_numpy(copy=True)
    values[:rows] = bad
    means = data.trials.assign(**{column: np.where(data.trials["trial"] < rows, bad, data.trials[column])})
    broken = replace(data, trials=means, replicates=data.replicates.assign(**{column: values}))
    text = words([build(broken) for build in report.PAGES.values()])
    assert not re.search(r"\b(nan|NaN|inf)\b", text)
    if column == "test.elbo":
        assert "no finite test ELBO" in text


@pytest.mark.parametrize("missing", ["history", "references", "importance", "variance", "evidence", "calibration"])
def test_a_missing_table_leaves_a_report(tmp_path: Path, missing: str) -> None:
    data = sweep(tmp_path, pictures=False)
    lacking = replace(data, **{missing: getattr(data, missing).head(0)})
    assert "The best test ELBO is" in words([build(lacking) for build in report.PAGES.values()])
