"""Diagnostics of the weights are shown with what they cannot see."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import torch
from report_pages import sweep

from analysis.document.blocks import Text
from analysis.pages.elbo_vs_dimension import blind
from analysis.statistics.headline import headline
from pipeline.probability.bounds import log_mean_exp
from pipeline.probability.diagnostics import effective_sample_size, pareto_k


def test_the_worst_values_are_said_beside_the_blind_spot(tmp_path: Path) -> None:
    data = sweep(tmp_path, estimators=("closed_form",), variance_study=False, gradients=False, evidence=False)
    (said,) = (block.text for block in blind.blocks(headline(data)) if isinstance(block, Text))
    assert "effective sample size is at least 151 of 512, Pareto k is at most 0.26, at most 4 % of the images" in said
    assert blind.BLIND in said
    bare = data.replicates.drop(columns=list(blind.DIAGNOSTICS))
    assert blind.blocks(headline(replace(data, replicates=bare))) == []


def test_a_missed_mode_is_as_invisible_as_the_report_says() -> None:
    """p(x, z) is an equal mixture of two far modes, q one of them: log 2 is missing and every diagnostic is perfect."""
    z = torch.randn(512, 50, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    normal = torch.distributions.Normal(0.0, 1.0)
    log_joint = torch.logaddexp(normal.log_prob(z), normal.log_prob(z - 40)) - math.log(2)  # its integral is 1
    log_weights = log_joint - normal.log_prob(z)
    bound = log_mean_exp(log_weights)
    assert torch.allclose(bound, torch.full_like(bound, -math.log(2)), atol=1e-9)
    assert float(effective_sample_size(log_weights).min()) > 511.9
    shapes = pareto_k(log_weights)
    assert not bool((shapes > 0.5).any())
    assert "log 2 = 0.69 nats" in blind.BLIND
