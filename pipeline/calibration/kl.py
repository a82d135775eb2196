"""Calibration of the KL estimators, the sampling schemes and the diagnostics of the latent space."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import (
    Categorical,
    Distribution,
    Independent,
    Laplace,
    MixtureSameFamily,
    MultivariateNormal,
    Normal,
    kl_divergence,
)

from pipeline.calibration.rows import Row, exact_row, mean_row, variance_row
from pipeline.config import FlowPosterior
from pipeline.model.likelihoods import CategoricalLikelihood
from pipeline.model.linear_gaussian import LinearGaussian, fit_ppca, optimal_active_units
from pipeline.model.posteriors import FlowHead
from pipeline.probability import kl as estimators
from pipeline.probability import sampling
from pipeline.probability.diagnostics import active_units, aggregate_kl, bits_per_dim, mutual_information, pareto_k
from pipeline.probability.distributions import log_aggregate_posterior, reparameterise

DRAWS = 100_000
# k3's fourth moment, which the error of its variance needs, is finite only for posterior variances above 3/4.
LOC = torch.tensor([0.4, -0.3, 0.0], dtype=torch.float64)
SCALE = torch.tensor([0.97, 1.1, 1.05], dtype=torch.float64)
KL = float(0.5 * (SCALE**2 + LOC**2 - 1 - 2 * SCALE.log()).sum())


def kl_rows(generator: torch.Generator) -> list[Row]:
    """Every KL estimator on a diagonal Gaussian, in value and variance, and k1 on the other posteriors and priors."""
    q, p = _diagonal(Normal(LOC, SCALE)), _standard(Normal)
    z = _draws(q, DRAWS, generator)
    k1, k3 = estimators.k1(q.log_prob(z), p.log_prob(z)), estimators.k3(q.log_prob(z), p.log_prob(z))
    entropy = estimators.cross_entropy_kl(q.entropy(), p.log_prob(z))
    log_px_z = -(z - 1).square().sum(-1)
    coefficient = estimators.control_variate_coefficient(log_px_z[:1000], k1[:1000])
    mixed = estimators.control_variate_kl(k1[1000:], torch.tensor(KL, dtype=torch.float64), coefficient)
    k1_variance = estimators.predicted_k1_variance(LOC, SCALE)
    return [
        exact_row("closed_form", "KL, Gaussian q", kl_divergence(q, p), KL),
        mean_row("monte_carlo (k1)", "KL, Gaussian q", k1, KL),
        variance_row("monte_carlo (k1)", "variance, Gaussian q", k1, k1_variance),
        mean_row("monte_carlo_k3", "KL, Gaussian q", k3, KL),
        variance_row("monte_carlo_k3", "variance, Gaussian q", k3, estimators.predicted_k3_variance(LOC, SCALE)),
        mean_row("cross_entropy", "KL, Gaussian q", entropy, KL),
        variance_row(
            "cross_entropy", "variance, Gaussian q", entropy, estimators.predicted_cross_entropy_variance(LOC, SCALE)
        ),
        mean_row("control_variate", "KL, Gaussian q", mixed, KL),
        variance_row("control_variate", "variance, Gaussian q", mixed, coefficient**2 * k1_variance),
        *_laplace_rows(generator),
        *_other_rows(generator),
    ]


def _laplace_rows(generator: torch.Generator) -> list[Row]:
    """Laplace q against both closed forms of the prior (value and variance of k1)."""
    loc, b = torch.tensor([0.6], dtype=torch.float64), torch.tensor([0.7], dtype=torch.float64)
    tail = b * torch.exp(-loc.abs() / b)
    moment = 0.5 * (loc**2 + 2 * b**2)
    known = {
        "N(0, I)": (
            _standard(Normal, 1),
            -torch.log(2 * b) - 1 + 0.5 * math.log(2 * math.pi) + moment,
            1 + 2 * loc**2 * b**2 + 5 * b**4 - 4 * b**2,
        ),
        "Laplace(0, 1)": (
            _standard(Laplace, 1),
            -b.log() - 1 + loc.abs() + tail,
            1 + loc**2 + 2 * b**2 - (loc.abs() + tail) ** 2 - 2 * (loc.abs() + b) * tail / b,
        ),
    }
    q = _diagonal(Laplace(loc, b))
    rows = []
    for name, (p, kl, variance) in known.items():
        z = _draws(q, DRAWS, generator)
        k1 = estimators.k1(q.log_prob(z), p.log_prob(z))
        rows += [
            exact_row("closed_form", f"KL, Laplace q, prior {name}", kl_divergence(q, p), kl),
            mean_row("monte_carlo (k1)", f"KL, Laplace q, prior {name}", k1, kl),
            variance_row("monte_carlo (k1)", f"variance, Laplace q, prior {name}", k1, variance),
        ]
    return rows


def _other_rows(generator: torch.Generator) -> list[Row]:
    """Full Gaussian (closed form), mixture prior (quadrature) and flow (its density integrates to one)."""
    tril = torch.tensor([[0.8, 0.0], [-0.5, 0.6]], dtype=torch.float64)
    full = MultivariateNormal(LOC[:2], scale_tril=tril)
    kl = 0.5 * (tril.square().sum() + LOC[:2].square().sum() - 2) - tril.diagonal().log().sum()
    z = _draws(full, DRAWS, generator)
    p = _standard(Normal, 2)
    centres = torch.tensor([[-1.0], [1.5]], dtype=torch.float64)
    mixture = MixtureSameFamily(
        Categorical(torch.tensor([0.3, 0.7], dtype=torch.float64)), _diagonal(Normal(centres, torch.ones_like(centres)))
    )
    narrow = _diagonal(Normal(LOC[:1], SCALE[:1] / 2))
    grid = torch.linspace(-10, 10, 4001, dtype=torch.float64).unsqueeze(-1)
    density = narrow.log_prob(grid)
    mixture_kl = torch.trapezoid(density.exp() * (density - mixture.log_prob(grid)), grid[:, 0])
    y = _draws(narrow, DRAWS, generator)
    return [
        exact_row("closed_form", "KL, full Gaussian q", kl_divergence(full, p), kl),
        mean_row("monte_carlo (k1)", "KL, full Gaussian q", estimators.k1(full.log_prob(z), p.log_prob(z)), kl),
        mean_row(
            "monte_carlo (k1)", "KL, mixture prior", estimators.k1(narrow.log_prob(y), mixture.log_prob(y)), mixture_kl
        ),
        _flow_row(generator),
    ]


def _flow_row(generator: torch.Generator) -> Row:
    """E_q[h/q] = 1 for any density h: here a Gaussian within the flow's reach. Wrong densities or draws break it."""
    settings = FlowPosterior(hidden=(16,), context=2)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(int(torch.randint(2**31, (), generator=generator)))
        head = FlowHead(2, settings.context, settings.transforms, settings.hidden, settings.coupling).double()
    with torch.no_grad():
        q = head(torch.ones(1, settings.context, dtype=torch.float64))
        z = reparameterise(q, torch.randn(20_000, 1, 2, generator=generator, dtype=torch.float64))
        inside = _diagonal(Normal(z.mean(0), 0.5 * z.std(0)))
        z = reparameterise(q, torch.randn(20_000, 1, 2, generator=generator, dtype=torch.float64))
        return mean_row("flow posterior", "E_q[h/q] of a density h", (inside.log_prob(z) - q.log_prob(z)).exp(), 1.0)


def sampling_rows(generator: torch.Generator) -> list[Row]:
    """k1 averaged over L draws under each scheme: same mean; the variance of iid and antithetic is known."""
    q, p = _diagonal(Normal(LOC, SCALE)), _standard(Normal)
    total = estimators.predicted_k1_variance(LOC, SCALE)
    even = 0.5 * (SCALE**2 - 1).square().sum()  # an antithetic pair cancels the part that is odd in the noise
    known = {"iid": (4, total / 4), "antithetic": (4, 2 * even / 4), "sobol": (16, None)}
    rows = []
    for scheme, (size, variance) in known.items():
        noise = sampling.draw(scheme, size, 20_000, 3, generator=generator, dtype=torch.float64)  # type: ignore[arg-type]
        z = reparameterise(q, noise)
        averages = estimators.k1(q.log_prob(z), p.log_prob(z)).mean(0)
        rows.append(mean_row(f"sampling {scheme}", f"KL by k1, L = {size}", averages, KL, size))
        if variance is not None:
            rows.append(variance_row(f"sampling {scheme}", f"variance of k1, L = {size}", averages, variance, size))
    return rows


def latent_space_rows(generator: torch.Generator) -> list[Row]:
    """Mutual information and aggregate KL against quadrature, active units against pPCA, and the uniform decoder."""
    loc = torch.linspace(-2, 2, 8, dtype=torch.float64).unsqueeze(-1)
    q = _diagonal(Normal(loc, torch.linspace(0.3, 0.8, 8, dtype=torch.float64).unsqueeze(-1)))
    p = _standard(Normal, 1)
    grid = torch.linspace(-12, 12, 8001, dtype=torch.float64).unsqueeze(-1)
    log_q = log_aggregate_posterior(q, grid)
    aggregate = torch.trapezoid(log_q.exp() * (log_q - p.log_prob(grid)), grid[:, 0])
    information = kl_divergence(q, p).mean() - aggregate
    z = _draws(q, 10_000, generator)
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


def _diagonal(base: Distribution) -> Independent[Distribution]:
    return Independent(base, 1)


def _standard(family: type[Normal] | type[Laplace], dim: int = 3) -> Independent[Distribution]:
    return _diagonal(family(torch.zeros(dim, dtype=torch.float64), torch.ones(dim, dtype=torch.float64)))


def _draws(q: Distribution, num: int, generator: torch.Generator) -> Tensor:
    noise = torch.randn(num, *q.batch_shape, *q.event_shape, generator=generator, dtype=torch.float64)
    z: Tensor = reparameterise(q, noise)
    return z
