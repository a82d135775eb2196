from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
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

from pipeline.model.posteriors import FlowHead, FullGaussianHead, GaussianHead, LaplaceHead, positive
from pipeline.model.priors import FixedPrior, FlowPrior, MixturePrior, VampPrior
from pipeline.probability import distributions as dist

DIM = 3
HEADS = {
    "gaussian": lambda: GaussianHead(DIM),
    "full_gaussian": lambda: FullGaussianHead(DIM),
    "laplace": lambda: LaplaceHead(DIM),
    "coupling": lambda: FlowHead(DIM, 6, 2, (8,), coupling=True),
    "autoregressive": lambda: FlowHead(DIM, 6, 2, (8,), coupling=False),
}
PRIORS = {
    "standard_normal": lambda: FixedPrior(DIM, Normal),
    "laplace": lambda: FixedPrior(DIM, Laplace),
    "mixture": lambda: MixturePrior(DIM, 4),
    "vamp": lambda: VampPrior((2, 2), 3),
    "flow": lambda: FlowPrior(DIM, 2, (8,)),
}


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def build(make: object) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return make().double()  # type: ignore[operator]


def posterior(name: str, batch: int = 2, spread: float = 1.0) -> Distribution:
    head = build(HEADS[name])
    features = spread * torch.randn(batch, int(head.num_features), generator=rng(1), dtype=torch.float64)
    return head(features.requires_grad_())


def prior(name: str) -> Distribution:
    """VampPrior over a linear Gaussian posterior of the 2 x 2 pseudo-inputs."""
    encoder = build(lambda: nn.Sequential(nn.Flatten(-2), nn.Linear(4, 2 * DIM), GaussianHead(DIM)))
    return build(PRIORS[name])(encoder)


# --- posteriors -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", HEADS)
def test_reparameterised_density_follows_the_change_of_variables(name: str) -> None:
    """log q(z(e)) = log N(e; 0, I) - log |det dz/de|: the map and the density belong to the same distribution."""
    q = posterior(name)
    noise = torch.randn(4, 2, DIM, generator=rng(2), dtype=torch.float64)
    log_prob = q.log_prob(dist.reparameterise(q, noise))
    assert log_prob.shape == (4, 2)
    for sample in range(4):
        jacobian = torch.autograd.functional.jacobian(
            lambda e: dist.reparameterise(q, e)[0], noise[sample : sample + 1]
        )
        for image in range(2):
            log_det = torch.linalg.slogdet(jacobian[image, :, 0, image]).logabsdet
            expected = Normal(0.0, 1.0).log_prob(noise[sample, image]).sum() - log_det
            torch.testing.assert_close(log_prob[sample, image], expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", ["gaussian", "full_gaussian", "laplace"])
def test_reparameterised_moments(name: str) -> None:
    q = posterior(name)
    z = dist.reparameterise(q, torch.randn(100_000, 2, DIM, generator=rng(3), dtype=torch.float64)).detach()
    error = (q.variance / 100_000).sqrt()
    assert ((z.mean(0) - q.mean).abs() < 4.5 * error).all()
    fourth = (z - q.mean).pow(4).mean(0)
    assert ((z.var(0) - q.variance).abs() < 4.5 * ((fourth - q.variance.square()) / 100_000).sqrt()).all()


@pytest.mark.parametrize("name", ["gaussian", "full_gaussian"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_zero_features_are_exactly_standard_normal(name: str, dtype: torch.dtype) -> None:
    head = HEADS[name]()
    q = head(torch.zeros(2, head.num_features, dtype=dtype))
    p = Independent(Normal(torch.zeros(DIM, dtype=dtype), torch.ones(DIM, dtype=dtype)), 1)
    assert kl_divergence(q, p).tolist() == [0, 0]
    assert torch.equal(q.stddev, torch.ones(2, DIM, dtype=dtype))


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("size", [0.0, 1.0, 30.0, 1e4])
def test_extreme_features_give_finite_densities_and_gradients(name: str, size: float) -> None:
    head = build(HEADS[name]).float()
    signs = torch.randint(0, 2, (3, int(head.num_features)), generator=rng()) * 2.0 - 1
    features = (size * signs).requires_grad_()
    q = head(features)
    z = dist.reparameterise(q, torch.randn(5, 3, DIM, generator=rng(1)))
    log_prob = q.log_prob(z)
    assert z.isfinite().all()
    assert log_prob.isfinite().all()
    log_prob.mean().backward()
    assert features.grad is not None
    assert features.grad.isfinite().all()


def test_scale_is_positive_bounded_and_one_at_zero() -> None:
    raw = torch.tensor([-1e4, -20.0, -1.0, 0.0, 1.0, 20.0, 1e4], requires_grad=True)
    scale = positive(raw)
    scale.sum().backward()
    scale = scale.detach()
    assert float(scale[3]) == 1
    assert (scale[1:] >= scale[:-1]).all()
    assert 0.9e-6 < float(scale[0]) < 1.1e-6
    assert 0.9e6 < float(scale[-1]) < 1.1e6
    assert raw.grad is not None
    assert raw.grad.isfinite().all()
    assert float(raw.grad[3]) == 1, "raw is the logarithm of the scale, near 0"


def test_a_scale_of_a_millionth_has_a_finite_kl_and_log_density() -> None:
    q = Independent(Normal(torch.zeros(1, 2), torch.full((1, 2), 1e-6)), 1)
    p = Independent(Normal(torch.zeros(2), torch.ones(2)), 1)
    assert float(kl_divergence(q, p)[0]) == pytest.approx(2 * (-math.log(1e-6) - 0.5), rel=1e-5)
    assert q.log_prob(dist.reparameterise(q, torch.randn(9, 1, 2, generator=rng()))).isfinite().all()


def test_reparameterise_refuses_what_it_cannot_map() -> None:
    with pytest.raises(TypeError, match="no reparameterisation for Categorical"):
        dist.reparameterise(Categorical(logits=torch.zeros(3)), torch.zeros(1, 3))


# --- priors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PRIORS)
def test_prior_draws_have_the_density_they_are_scored_with(name: str) -> None:
    """E_p[f/p] = 1 for a density f that is narrower than p: a check of draws and log_prob together."""
    p = prior(name)
    with torch.no_grad():
        z = dist.sample(p, 100_000, rng())
        inner = Independent(Normal(z.mean(0), 0.6 * z.std(0)), 1)
        ratio = (inner.log_prob(z) - p.log_prob(z)).exp()
    assert z.shape == (100_000, DIM)
    assert abs(float(ratio.mean()) - 1) < 4.5 * float(ratio.std()) / math.sqrt(100_000)


@pytest.mark.parametrize("name", PRIORS)
def test_prior_draws_come_from_the_generator_alone(name: str) -> None:
    p, state = prior(name), torch.get_rng_state()
    assert torch.equal(dist.sample(p, 5, rng(1)), dist.sample(p, 5, rng(1)))
    assert not torch.equal(dist.sample(p, 5, rng(1)), dist.sample(p, 5, rng(2)))
    assert torch.equal(state, torch.get_rng_state())


def test_mixture_draws_take_each_component_by_its_weight() -> None:
    far = Independent(Normal(torch.tensor([[-100.0], [0.0], [100.0]]), torch.ones(3, 1)), 1)
    p = MixtureSameFamily(Categorical(probs=torch.tensor([0.2, 0.5, 0.3])), far)
    z = dist.sample(p, 20_000, rng()).squeeze(-1)
    shares = torch.stack(((z < -50), (z.abs() < 50), (z > 50))).double().mean(1)
    assert shares.tolist() == pytest.approx([0.2, 0.5, 0.3], abs=4.5 * math.sqrt(0.25 / 20_000))


@pytest.mark.parametrize("name", PRIORS)
def test_prior_has_no_batch_and_scores_any_leading_shape(name: str) -> None:
    p = prior(name)
    assert (p.batch_shape, p.event_shape) == ((), (DIM,))
    z = torch.randn(2, 5, DIM, generator=rng(), dtype=torch.float64)
    together = p.log_prob(z)
    assert together.shape == (2, 5)
    torch.testing.assert_close(together[1, 3], p.log_prob(z[1, 3]))


def test_vamp_prior_is_the_mean_of_the_posteriors_of_its_pseudo_inputs() -> None:
    encoder = build(lambda: nn.Sequential(nn.Flatten(-2), nn.Linear(4, 2 * DIM), GaussianHead(DIM)))
    vamp = build(PRIORS["vamp"])
    z = torch.randn(5, DIM, generator=rng(), dtype=torch.float64)
    components = encoder(torch.sigmoid(vamp.pseudo_inputs))
    expected = torch.logsumexp(components.log_prob(z.unsqueeze(1)), dim=1) - math.log(3)
    torch.testing.assert_close(vamp(encoder).log_prob(z), expected)
    vamp(encoder).log_prob(z).sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in (*vamp.parameters(), *encoder.parameters()))


@pytest.mark.parametrize("name", ["gaussian", "full_gaussian", "coupling"])
def test_log_aggregate_posterior_in_blocks(name: str) -> None:
    q = posterior(name, batch=6)
    z = torch.randn(7, DIM, generator=rng(), dtype=torch.float64)
    expected = torch.stack([torch.logsumexp(q.log_prob(point.expand(6, -1)), 0) for point in z]) - math.log(6)
    for pairs in (1, 13, 1 << 20):
        torch.testing.assert_close(dist.log_aggregate_posterior(q, z, max_pairs=pairs), expected)


# --- closed forms ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["gaussian", "full_gaussian", "laplace"])
@pytest.mark.parametrize("family", [Normal, Laplace])
def test_closed_form_kl_is_the_mean_of_the_log_ratio(name: str, family: type) -> None:
    q = posterior(name)
    p = Independent(family(torch.zeros(DIM, dtype=torch.float64), torch.ones(DIM, dtype=torch.float64)), 1)
    z = dist.reparameterise(q, torch.randn(100_000, 2, DIM, generator=rng(4), dtype=torch.float64))
    ratio = (q.log_prob(z) - p.log_prob(z)).detach()
    error = ratio.std(0) / math.sqrt(100_000)
    assert ((ratio.mean(0) - kl_divergence(q, p)).abs() < 4.5 * error).all()


def test_full_gaussian_kl_agrees_with_torch() -> None:
    q = posterior("full_gaussian")
    p = Independent(Normal(torch.zeros(DIM, dtype=torch.float64), torch.ones(DIM, dtype=torch.float64)), 1)
    same = MultivariateNormal(torch.zeros(DIM, dtype=torch.float64), torch.eye(DIM, dtype=torch.float64))
    torch.testing.assert_close(kl_divergence(q, p), kl_divergence(q, same))


def test_full_gaussian_reaches_correlated_posteriors() -> None:
    q = posterior("full_gaussian")
    covariance = q.covariance_matrix[0]
    off_diagonal: Tensor = covariance - covariance.diag().diag()
    assert off_diagonal.abs().max() > 0.1
