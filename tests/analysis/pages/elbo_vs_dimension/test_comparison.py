"""The paired verdict finds a difference that is there."""

from __future__ import annotations

from pathlib import Path

from report_pages import sweep
from synthetic_truth import MONTE_CARLO_COST, true_bound

from analysis.document.blocks import Figure
from analysis.pages.elbo_vs_dimension.page import page as page_of


def test_paired_verdict_finds_a_difference_that_is_there(tmp_path: Path) -> None:
    """With 60 seeds the Monte Carlo cost of 0.8 nats is seven standard errors; the sentence must say which way."""
    assert MONTE_CARLO_COST == 0.8
    assert true_bound(8, "closed_form", 1) > true_bound(8, "monte_carlo", 1)
    page = page_of(sweep(tmp_path, replicates=60, variance_study=False, gradients=False, evidence=False))
    said = [block.sentence for block in page.blocks if isinstance(block, Figure)]
    assert any(
        "tell closed form and Monte Carlo (k1) apart" in sentence and "higher in 2" in sentence for sentence in said
    )
