"""Every statistic has an answer for sweeps that lack something."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import synthetic

from analysis import statistics, tables
from analysis.statistics import answers, planning
from analysis.statistics.headline import headline


@pytest.mark.parametrize(
    "options",
    [
        {"failed": 10**6},
        {"trials": 1},
        {"trials": 1, "replicates": 1},
        {"dims": (4,), "replicates": 1},
        {"variance_study": False, "gradients": False, "evidence": False, "calibration": False},
        {"hostile": True, "failed": 1},
    ],
)
def test_every_statistic_has_an_answer_for_every_kind_of_sweep(tmp_path: Path, options: dict[str, Any]) -> None:
    sweep = tables.load(synthetic.write(tmp_path, pictures=False, epochs=2, **options))
    replicates, variance = tables.joined(sweep), tables.joined(sweep, "variance")
    gradients, evidence = tables.joined(sweep, "gradients"), tables.joined(sweep, "evidence")
    finished = int((sweep.trials["status"] == "finished").sum())
    studied = finished > 0 and options.get("variance_study", True)
    assert len(statistics.summarise(replicates, "test.elbo", "model.latent_dim")) <= finished
    chosen = headline(sweep)
    probabilities = answers.which_dimension(chosen)
    assert probabilities.empty == (finished == 0)
    assert len(answers.best_bound(sweep)) == (finished > 0)
    for factor in answers.compared_factors(sweep):
        differences, reason = answers.factor_effects(sweep, chosen, factor)
        assert differences.empty == (reason is not None)
    shared = answers.shares(sweep)
    assert shared.empty or shared["share"].sum() == pytest.approx(1.0)
    assert len(statistics.variance_slopes(variance)) == (24 if studied else 0)
    assert len(statistics.gradient_slopes(gradients)) == (10 if studied else 0)
    if studied:
        assert len(statistics.variance_components(planning.measured(sweep))) % 3 == 0
    assert len(statistics.predicted_vs_measured(replicates)) == (finished if studied else 0)
    assert statistics.share_containing_one(statistics.predicted_vs_measured(replicates))["n"].item() >= 0
    assert statistics.k3_divergence(variance).empty != studied
    assert statistics.prior_monte_carlo_curve(evidence).empty != studied
    assert statistics.draws_needed(evidence).empty != studied
    assert statistics.efficiency(variance).empty != studied
    assert statistics.outcomes(sweep.trials)["n"].sum() == len(sweep.trials)
    assert len(statistics.search_history(sweep.trials)) == finished
    assert len(statistics.best_configurations(replicates)) <= finished
    assert statistics.per_dimension_counts(sweep.trials, sweep.replicates)["trials"].sum() == len(sweep.trials)
    assert len(statistics.calibration_summary(sweep.calibration)) == 1
    statistics.paired_differences(replicates, "test.elbo", "kl.estimator")
