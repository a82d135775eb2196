"""log q(z) without its score term."""

from __future__ import annotations

import pytest
import torch
from conformance.kl_estimators import choices, pair
from torch.distributions import Independent, Normal

from pipeline.probability.distributions import reparameterise
from pipeline.probability.gradients.estimator import path_log_prob


@pytest.mark.parametrize("posterior", choices("posterior"))
def test_path_log_prob_has_the_value_and_no_score(posterior: str) -> None:
    chosen = pair(posterior, "standard_normal")
    q = chosen.posterior()
    noise = torch.randn(3, 1, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    z = reparameterise(q, noise)
    torch.testing.assert_close(path_log_prob(q, z), q.log_prob(z))
    parameters = [chosen.features, *chosen.vae.posterior_head.parameters()]
    at_fixed_z = torch.autograd.grad(path_log_prob(q, z.detach()).sum(), parameters, allow_unused=True)
    assert all(gradient is None or gradient.abs().max() < 1e-12 for gradient in at_fixed_z)


def test_path_log_prob_is_the_density_with_detached_parameters() -> None:
    loc, scale = torch.tensor([[0.3, -1.0]], requires_grad=True), torch.tensor([[0.5, 2.0]], requires_grad=True)
    noise = torch.randn(4, 1, 2, generator=torch.Generator().manual_seed(0))
    q = Independent(Normal(loc, scale), 1)
    z = reparameterise(q, noise)
    without_score = torch.autograd.grad(path_log_prob(q, z).sum(), (loc, scale), retain_graph=True)
    detached = Independent(Normal(loc.detach(), scale.detach()), 1)
    torch.testing.assert_close(without_score, torch.autograd.grad(detached.log_prob(z).sum(), (loc, scale)))
