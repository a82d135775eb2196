"""The sentences that open the report are computed from its tables."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from report_pages import sweep

from analysis import tables
from analysis.document.blocks import Findings, Opening, Page
from analysis.pages.common import with_dimension
from analysis.pages.overview import answers
from analysis.statistics.answers import best_bound, studied_dimension
from analysis.statistics.headline import headline
from analysis.wording import interval


def test_the_report_opens_with_its_answers(pages: list[Page], run: Path) -> None:
    opening, findings = pages[0].blocks[:2]
    assert isinstance(opening, Opening)
    assert isinstance(findings, Findings)
    assert [question for question, _ in opening.answers] == ["Which D?", "Which KL estimator?", "Which L?"]
    sentences = [*(sentence for _, sentence in opening.answers), *findings.sentences]
    text = " ".join(sentences)
    data = tables.load(run)
    best = best_bound(data).iloc[0]
    assert f"The best test ELBO is {interval(best['estimate'], best['low'], best['high'])} nats" in text
    assert f"at D = {best['model.latent_dim']:g} (" in text
    assert f"for new images as well, {interval(best['estimate'], best['low_images'], best['high_images'])}" in text
    assert re.search(r"The best latent dimension \(closed form\) is D = \d+ with probability", text)
    assert re.search(r"losed form (is better than|and|from) Monte Carlo \(k1\)", text)
    assert re.search(r"falls as L to the power −(1\.0|0\.9)", text)
    assert "2 trials are suspect" in text
    assert all(sentence.endswith(".") for sentence in sentences)


def test_enough_draws_leave_a_tenth_of_the_variance_between_seeds(tmp_path: Path) -> None:
    """Var = 4.35 / L nats^2 at D = 8, averaged over the images, beside about 0.4 nats^2 between seeds."""
    data = sweep(tmp_path, replicates=20, gradients=False, evidence=False)
    variance = with_dimension(data, "variance")
    assert studied_dimension(data, variance) == 8  # D*
    assert "L = 1 is enough at D = 8" in answers.draws(data, variance)
    noisy = tables.Sweep(**{**vars(data), "info": {**data.info, "data": {"test": 40}}})  # 0.109 / L <= 0.04
    assert "L = 4 is enough at D = 8" in answers.draws(noisy, variance)


def test_estimators_that_differ_in_more_than_the_estimator_are_not_compared(tmp_path: Path) -> None:
    data = sweep(tmp_path, variance_study=False)
    rate = np.where(data.trials["kl.estimator"] == "closed_form", 1e-3, 2e-3)
    apart = tables.Sweep(**{**vars(data), "trials": data.trials.assign(**{"training.learning_rate": rate})})
    assert "no two trials differ in the estimator alone" in answers.factors(apart, headline(apart))[0]
    assert "Monte Carlo (k1)" in answers.factors(data, headline(data))[0]


def test_every_declared_factor_is_compared(tmp_path: Path) -> None:
    data = sweep(tmp_path, num_samples=(1, 4), variance_study=False)
    said = answers.factors(data, headline(data))
    assert len(said) == 2
    assert any("objective.num_samples 1" in sentence and "objective.num_samples 4" in sentence for sentence in said)


def test_a_factor_whose_other_levels_did_not_finish_is_no_single_estimator(tmp_path: Path) -> None:
    data = sweep(tmp_path, variance_study=False)
    ended = np.where(data.trials["kl.estimator"] == "monte_carlo", "stopped", data.trials["status"])
    stopped = replace(data, trials=data.trials.assign(status=ended))
    (said,) = answers.factors(stopped, headline(stopped))
    assert "declared 2 values of kl.estimator" in said
    assert "All trials use one" not in said


def test_the_gain_of_sobol_is_said_by_dimension(tmp_path: Path) -> None:
    data = sweep(tmp_path, gradients=False, evidence=False)
    variance = with_dimension(data, "variance")
    steeper = (variance["sampling"] == "sobol") & (variance["model.latent_dim"] == 2)
    falling = np.where(steeper, variance["variance"] / variance["num_samples"], variance["variance"])
    said = answers.slope(variance.assign(variance=falling))
    gains = re.search(
        r"Sobol draws it is, at L = 128, (\d+) \[.*\] times less at D = 2 and (\d+)\S* \[.*\] times less at D = 8", said
    )
    assert gains is not None
    assert float(gains[1]) == pytest.approx(128**2, rel=0.15)
    assert float(gains[2]) == pytest.approx(128, rel=0.15)
    assert re.search(r"\(n = \d+ replicates\)", said)


def test_older_tables_count_seeds_of_draws_and_not_replicates(tmp_path: Path) -> None:
    data = sweep(tmp_path, gradients=False, evidence=False, streams=False)
    said = answers.slope(with_dimension(data, "variance"))
    assert re.search(r"\(n = \d+ seeds of draws, which \d+ trials share\)", said)
    assert "trials of one seed share their draws" in answers.trust(data)


def test_one_seed_has_no_interval_and_no_best_dimension(tmp_path: Path) -> None:
    data = sweep(tmp_path, replicates=1, variance_study=False)
    assert "without an interval (one seed each" in answers.best(data)
    assert "cannot be said" in answers.dimension(headline(data))
    assert all("one seed cannot tell them apart" in sentence for sentence in answers.factors(data, headline(data)))
