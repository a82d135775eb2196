"""What holds for every posterior and every prior: draws and density belong to one distribution.

A test runs `POSTERIOR_CHECKS` over `pipeline.model.posteriors.POSTERIORS` and `PRIOR_CHECKS` over
`pipeline.model.priors.PRIORS`, so a kind is tested by being registered. A check takes a function that makes the module
for a number of latent dimensions, and raises AssertionError where the module breaks it.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from scipy import stats
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, MultivariateNormal, Normal, kl_divergence

from pipeline.model.posteriors import GaussianHead, PosteriorHead
from pipeline.model.priors import Prior
from pipeline.probability import distributions

DIM = 3
IMAGE_SHAPE = (2, 2)
GRID = torch.linspace(-60.0, 60.0, 240_001, dtype=torch.float64).unsqueeze(-1)
"""Values of a one-dimensional z over which a density is summed."""
DRAWS = 50_000
P_VALUE = 1e-5
"""Below this a test of uniformity fails; seeds are fixed, so there is no false alarm to come."""

MakePosterior = Callable[[int], PosteriorHead]
MakePrior = Callable[[int], Prior]


def rng(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def seeded(make: Callable[[int], nn.Module], dim: int) -> nn.Module:
    """The module in float64, its fresh weights drawn from a seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return make(dim).double()


# --- a distribution, whatever made it -------------------------------------------------------------------------------


def assert_density_of_draws(p: Distribution, draws: Tensor) -> None:
    """E h / p = 1 over draws of p, for a density h that is narrower than p: a constant is missing in no log_prob.

    h is Gaussian, at the mean of half of the draws and half as wide; the other half is averaged over.
    """
    fit, used = draws.chunk(2)
    covariance = fit.T.cov().view(fit.shape[-1], fit.shape[-1])
    h = MultivariateNormal(fit.mean(0), 0.25 * covariance)
    weights = (h.log_prob(used) - p.log_prob(used)).exp()
    error = float(weights.std()) / math.sqrt(len(weights))
    assert abs(float(weights.mean()) - 1) < 5 * error
    assert error < 0.05


def assert_uniform_under_own_distribution_function(p: Distribution, draws: Tensor) -> None:
    """Probability integral transform in one dimension: F(z) of draws z is uniform on (0, 1)."""
    density = p.log_prob(GRID).exp()
    step = float(GRID[1] - GRID[0])
    cumulative = ((density[1:] + density[:-1]) / 2 * step).cumsum(0)
    assert abs(float(cumulative[-1]) - 1) < 1e-4
    index = ((draws.squeeze(-1) - float(GRID[0])) / step).floor().long().clamp(1, len(cumulative) - 1)
    assert stats.kstest(cumulative[index - 1].numpy(), "uniform").pvalue > P_VALUE


# --- posteriors -----------------------------------------------------------------------------------------------------


def features_of(head: PosteriorHead, batch: int, *, spread: float = 1.0, seed: int = 1) -> Tensor:
    return spread * torch.randn(batch, head.num_features, generator=rng(seed), dtype=torch.float64)


def posterior_draws(head: PosteriorHead, features: Tensor, num: int, seed: int = 2) -> tuple[Distribution, Tensor]:
    """q(z|x) of one row of features, with `num` draws [num, dim]."""
    q: Distribution = head(features)
    with torch.no_grad():
        noise = torch.randn(num, 1, head.latent_dim, generator=rng(seed), dtype=torch.float64)
        return q, distributions.reparameterise(q, noise).squeeze(1)


def a_posterior_has_a_batch_of_images_and_an_event_of_dimensions(make: MakePosterior) -> None:
    for dim in (1, DIM):
        head = seeded(make, dim)
        assert isinstance(head, PosteriorHead)
        q = head(features_of(head, 5))
        assert (q.batch_shape, q.event_shape) == ((5,), (dim,))
        noise = torch.randn(4, 5, dim, generator=rng(0), dtype=torch.float64)
        z = distributions.reparameterise(q, noise)
        assert z.shape == (4, 5, dim)
        assert q.log_prob(z).shape == (4, 5)
        assert q.log_prob(z).dtype == torch.float64
        rows = [head(features_of(head, 5)[index : index + 1]).log_prob(z[:, index : index + 1]) for index in range(5)]
        torch.testing.assert_close(q.log_prob(z), torch.cat(rows, dim=1))


def a_posteriors_density_is_that_of_its_draws(make: MakePosterior) -> None:
    for dim in (1, DIM):
        head = seeded(make, dim)
        with torch.no_grad():
            q, z = posterior_draws(head, features_of(head, 1), DRAWS)
            assert_density_of_draws(_Row(q), z)


def a_posteriors_draws_are_uniform_under_its_distribution_function(make: MakePosterior) -> None:
    head = seeded(make, 1)
    with torch.no_grad():
        q, z = posterior_draws(head, features_of(head, 1), 5000)
        assert_uniform_under_own_distribution_function(_Row(q), z)


def a_posteriors_density_follows_the_change_of_variables(make: MakePosterior) -> None:
    """log q(z(e)) = log N(e; 0, I) - log |det dz/de|, draw by draw."""
    head = seeded(make, DIM)
    q = head(features_of(head, 1))
    noise = torch.randn(4, 1, DIM, generator=rng(2), dtype=torch.float64)
    log_prob = q.log_prob(distributions.reparameterise(q, noise))
    for draw in range(4):
        jacobian = torch.autograd.functional.jacobian(
            lambda e: distributions.reparameterise(q, e)[0, 0], noise[draw : draw + 1]
        )
        log_det = torch.linalg.slogdet(jacobian[:, 0, 0]).logabsdet
        expected = Normal(0.0, 1.0).log_prob(noise[draw, 0]).sum() - log_det
        torch.testing.assert_close(log_prob[draw, 0], expected, rtol=0, atol=1e-9)


def a_posteriors_gradients_are_finite_at_extreme_features(make: MakePosterior) -> None:
    head = seeded(make, DIM).float()
    assert isinstance(head, PosteriorHead)
    signs = torch.randint(0, 2, (3, head.num_features), generator=rng(0)) * 2.0 - 1
    for size in (0.0, 1.0, 30.0, 1e4):
        features = (size * signs).requires_grad_()
        q = head(features)
        z = distributions.reparameterise(q, torch.randn(5, 3, DIM, generator=rng(1)))
        log_prob = q.log_prob(z)
        log_prob.mean().backward()
        assert features.grad is not None
        for values in (z, log_prob, features.grad):
            assert bool(values.isfinite().all())


def every_feature_of_a_posterior_matters(make: MakePosterior) -> None:
    """Through the draws too, as in training: nothing between features and z is cut off."""
    head = seeded(make, DIM)
    features = features_of(head, 2).requires_grad_()
    q = head(features)
    z = distributions.reparameterise(q, torch.randn(3, 2, DIM, generator=rng(1), dtype=torch.float64))
    (gradient,) = torch.autograd.grad(z.square().sum() + z.prod(-1).sum(), features)
    assert bool((gradient != 0).all())


def a_posteriors_reparameterised_gradient_is_that_of_its_kl(make: MakePosterior) -> None:
    """The mean gradient of log q(z) - log p(z) over draws, against the closed form of KL(q | N(0, I)); where torch has
    none, against the score-function gradient of other draws, which no map from noise enters."""
    head = seeded(make, 2)
    row = features_of(head, 1, spread=0.5)
    p = Independent(Normal(torch.zeros(2, dtype=torch.float64), torch.ones(2, dtype=torch.float64)), 1)
    repeats = 20_000
    features = row.expand(repeats, -1).clone().requires_grad_()  # a gradient of its own for every draw
    q = head(features)
    z = distributions.reparameterise(q, torch.randn(1, repeats, 2, generator=rng(3), dtype=torch.float64))
    (gradients,) = torch.autograd.grad((q.log_prob(z) - p.log_prob(z)).sum(), features)
    error = gradients.std(0) / math.sqrt(repeats)
    leaf = row.clone().requires_grad_()
    try:
        (exact,) = torch.autograd.grad(kl_divergence(head(leaf), p).sum(), leaf)
    except NotImplementedError:
        features = row.expand(repeats, -1).clone().requires_grad_()
        q = head(features)
        with torch.no_grad():
            z = distributions.reparameterise(q, torch.randn(1, repeats, 2, generator=rng(4), dtype=torch.float64))
            signal = q.log_prob(z) - p.log_prob(z)
        (scores,) = torch.autograd.grad(((signal - signal.mean()) * q.log_prob(z)).sum(), features)
        exact, error = scores.mean(0), (error.square() + scores.var(0) / repeats).sqrt()
    assert bool(((gradients.mean(0) - exact.squeeze(0)).abs() < 5 * error + 1e-12).all())


POSTERIOR_CHECKS = (
    a_posterior_has_a_batch_of_images_and_an_event_of_dimensions,
    a_posteriors_density_is_that_of_its_draws,
    a_posteriors_draws_are_uniform_under_its_distribution_function,
    a_posteriors_density_follows_the_change_of_variables,
    a_posteriors_gradients_are_finite_at_extreme_features,
    every_feature_of_a_posterior_matters,
    a_posteriors_reparameterised_gradient_is_that_of_its_kl,
)


class _Row(Distribution):
    """A posterior of one image, as a distribution without a batch."""

    arg_constraints = {}  # noqa: RUF012

    def __init__(self, q: Distribution) -> None:
        super().__init__(event_shape=q.event_shape, validate_args=False)
        self.q = q

    def log_prob(self, value: Tensor) -> Tensor:
        return self.q.log_prob(value.unsqueeze(1)).squeeze(1)


# --- priors ---------------------------------------------------------------------------------------------------------


def prior_of(make: MakePrior, dim: int) -> tuple[nn.Module, Distribution]:
    """The prior, and p(z) of a model whose posterior is a Gaussian with a linear encoder."""
    module = seeded(make, dim)
    encoder = seeded(lambda d: nn.Sequential(nn.Flatten(-2), nn.Linear(4, 2 * d), GaussianHead(d)), dim)
    return module, module(encoder)


def a_prior_has_no_batch_and_an_event_of_dimensions(make: MakePrior) -> None:
    for dim in (1, DIM):
        _, p = prior_of(make, dim)
        assert (p.batch_shape, p.event_shape) == ((), (dim,))
        z = torch.randn(4, 5, dim, generator=rng(0), dtype=torch.float64)
        assert p.log_prob(z).shape == (4, 5)
        assert p.log_prob(z).dtype == torch.float64
        torch.testing.assert_close(p.log_prob(z)[2, 3], p.log_prob(z[2, 3]))


@torch.no_grad()
def a_priors_density_is_that_of_its_draws(make: MakePrior) -> None:
    for dim in (1, DIM):
        _, p = prior_of(make, dim)
        assert_density_of_draws(p, distributions.sample(p, DRAWS, rng(1)))


@torch.no_grad()
def a_priors_draws_are_uniform_under_its_distribution_function(make: MakePrior) -> None:
    _, p = prior_of(make, 1)
    assert_uniform_under_own_distribution_function(p, distributions.sample(p, 5000, rng(1)))


def a_priors_draws_come_from_the_generator_alone(make: MakePrior) -> None:
    _, p = prior_of(make, DIM)
    state = torch.get_rng_state()
    assert torch.equal(distributions.sample(p, 20, rng(1)), distributions.sample(p, 20, rng(1)))
    assert not torch.equal(distributions.sample(p, 20, rng(1)), distributions.sample(p, 20, rng(2)))
    assert torch.equal(state, torch.get_rng_state())


def a_priors_gradients_are_finite_and_reach_its_parameters(make: MakePrior) -> None:
    module, p = prior_of(make, DIM)
    for size in (1.0, 30.0):
        z = (size * torch.randn(50, DIM, generator=rng(2), dtype=torch.float64)).requires_grad_()
        gradients = torch.autograd.grad(
            p.log_prob(z).sum(), [z, *module.parameters()], retain_graph=True, allow_unused=True
        )
        for gradient in gradients:
            assert gradient is not None
            assert bool(gradient.isfinite().all())
    assert bool((gradients[0] != 0).all())


PRIOR_CHECKS = (
    a_prior_has_no_batch_and_an_event_of_dimensions,
    a_priors_density_is_that_of_its_draws,
    a_priors_draws_are_uniform_under_its_distribution_function,
    a_priors_draws_come_from_the_generator_alone,
    a_priors_gradients_are_finite_and_reach_its_parameters,
)
