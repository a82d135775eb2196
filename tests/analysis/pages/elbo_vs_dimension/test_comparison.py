"""The paired verdict finds a difference that is there."""

from __future__ import annotations

from pathlib import Path

import pytest
from report_pages import sweep
from synthetic_truth import MONTE_CARLO_COST, true_bound

from analysis.document.blocks import Figure, Table
from analysis.pages.elbo_vs_dimension.page import page as page_of
from analysis.statistics.headline import headline


def test_paired_verdict_finds_a_difference_that_is_there(tmp_path: Path) -> None:
    """With 60 seeds the Monte Carlo cost of 0.8 nats is seven standard errors; the sentence must say which way."""
    assert MONTE_CARLO_COST == 0.8
    assert true_bound(8, "closed_form", 1) > true_bound(8, "monte_carlo", 1)
    page = page_of(sweep(tmp_path, replicates=60, variance_study=False, gradients=False, evidence=False))
    said = [block.sentence for block in page.blocks if isinstance(block, Figure)]
    assert any(
        sentence.startswith("Closed form is better than Monte Carlo (k1)") and "told apart at 2 of 2" in sentence
        for sentence in said
    )


def test_the_first_row_is_the_effect_over_all_dimensions(tmp_path: Path) -> None:
    data = sweep(tmp_path, variance_study=False, gradients=False, evidence=False)
    (block,) = [b for b in page_of(data).blocks if isinstance(b, Table) and b.name == "paired_differences"]
    assert block.shown is not None
    assert block.shown["where"].tolist() == ["all D", "D = 2", "D = 8"]
    overall = block.frame.iloc[0]
    chosen = headline(data).replicates
    sides = chosen.pivot_table(index=["seed", "model.latent_dim"], columns="kl.estimator", values="test.elbo")
    by_seed = (sides["closed_form"] - sides["monte_carlo"]).groupby("seed").mean()
    assert overall["difference"] == pytest.approx(by_seed.mean())
    assert overall["standard_error"] == pytest.approx(by_seed.sem())
