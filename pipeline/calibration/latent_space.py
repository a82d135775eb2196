"""Calibration of the diagnostics of the latent space and of the weights, and of pixels."""

from __future__ import annotations

import torch
from torch.distributions import Normal, kl_divergence

from pipeline.calibration.gaussian import diagonal, draws_from, standard
from pipeline.calibration.rows import Row, exact_row, mean_row
from pipeline.model.likelihoods import CategoricalLikelihood
from pipeline.model.linear_gaussian import LinearGaussian, fit_ppca, optimal_active_units
from pipeline.probability.diagnostics import active_units, aggregate_kl, bits_per_dim, mutual_information, pareto_k
from pipeline.probability.distributions import log_aggregate_posterior


def latent_space_rows(generator: torch.Generator) -> list[Row]:
    """Mutual information and aggregate KL against quadrature, active units against pPCA, and the uniform decoder."""
    loc = torch.linspace(-2, 2, 8, dtype=torch.float64).unsqueeze(-1)
    q = diagonal(Normal(loc, torch.linspace(0.3, 0.8, 8, dtype=torch.float64).unsqueeze(-1)))
    p = standard(Normal, 1)
    grid = torch.linspace(-12, 12, 8001, dtype=torch.float64).unsqueeze(-1)
    log_q = log_aggregate_posterior(q, grid)
    aggregate = torch.trapezoid(log_q.exp() * (log_q - p.log_prob(grid)), grid[:, 0])
    information = kl_divergence(q, p).mean() - aggregate
    z = draws_from(q, 10_000, generator)
    log_qz = log_aggregate_posterior(q, z.flatten(0, 1)).unflatten(0, z.shape[:2])
    # The eight images are strata: a draw is the mean over them.
    mutual = mutual_information(q.log_prob(z), log_qz).mean(1)
    marginal = aggregate_kl(log_qz, p.log_prob(z)).mean(1)
    return [
        mean_row("mutual_information", "I_q(x; z), 8 images", mutual, information, 8),
        mean_row("aggregate_kl", "KL(q(z) | p(z)), 8 images", marginal, aggregate, 8),
        _active_row(generator),
        _pareto_row(generator),
        *_pixel_rows(generator),
    ]


def _active_row(generator: torch.Generator) -> Row:
    """A pPCA fit whose posterior means are known: the count of its units against that of the data's eigenvalues."""
    deviations = torch.tensor([3.0, 2.0, 1.0, 0.2, 0.2, 0.2], dtype=torch.float64)
    data = torch.randn(500, 6, generator=generator, dtype=torch.float64) * deviations
    fitted = fit_ppca(data, 5)
    scale = 0.5
    values = (fitted.weight.square().sum(0) + fitted.scale**2 - scale**2).clamp_min(0)
    model = LinearGaussian(torch.nn.functional.normalize(fitted.weight, dim=0) * values.sqrt(), fitted.bias, scale)
    units = active_units(model.posterior(data).loc)
    return exact_row("active_units", "units at the optimum of fixed s", units, optimal_active_units(data, scale))


def _pareto_row(generator: torch.Generator) -> Row:
    """Weights u^-k have an exact Pareto tail of shape k; at k = 1/2 the fit's weak prior does not pull."""
    uniform = torch.rand(10_000, 50, generator=generator, dtype=torch.float64)
    shapes = pareto_k(-0.5 * uniform.log())
    return mean_row("pareto_k", "shape of a Pareto tail, k = 1/2", shapes, 0.5, 10_000)


def _pixel_rows(generator: torch.Generator) -> list[Row]:
    """A decoder of all-zero logits is uniform; draws of a categorical pixel have its mean."""
    likelihood = CategoricalLikelihood((28, 28), 16)
    levels = torch.randint(0, 16, (1, 28, 28), generator=generator, dtype=torch.uint8)
    uniform = likelihood(torch.zeros(1, 784, 16, dtype=torch.float64)).log_prob(levels)
    logits = torch.randn(1, 16, generator=generator, dtype=torch.float64)
    pixels = CategoricalLikelihood((1, 1), 16)(logits.expand(50_000, 1, 16))
    values = torch.arange(16, dtype=torch.float64)
    drawn = pixels.sample(generator).flatten().to(torch.float64)
    return [
        exact_row("bits_per_dim", "uniform decoder, 784 pixels of 16 levels", bits_per_dim(uniform, 784), 4.0),
        mean_row("ancestral pixels", "mean level of a categorical pixel", drawn, (logits.softmax(-1) @ values).sum()),
    ]
