"""Variances in closed form: against quadrature, against draws, and where there is none."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from conformance.standard_errors import assert_mean, assert_variance
from scipy import integrate
from torch import Tensor
from torch.distributions import Independent, Laplace, Normal, kl_divergence

from pipeline.probability.distributions import reparameterise
from pipeline.probability.kl.estimator import KLEstimator
from pipeline.probability.kl.registry import KL_ESTIMATORS
from pipeline.probability.predicted_variance import one_draw, predicted_variance
from pipeline.probability.schemes.registry import SCHEMES

DRAWS = 200_000
POSTERIORS = [  # location and scale in each dimension; trained VAEs have both kinds of units
    ([0.5], [0.8]),
    ([-1.2, 0.0, 0.3], [0.3, 1.0, 1.4]),
    ([2.0, -2.0], [0.05, 0.1]),
]
WIDE = [([0.2], [0.95]), ([0.3, 0.0, -0.4], [1.0, 1.2, 1.1])]  # every variance well above 1/2, where k3 behaves
K1, K3, CROSS_ENTROPY = (KL_ESTIMATORS[name] for name in ("monte_carlo", "monte_carlo_k3", "cross_entropy"))
CASES = [(kl, *q) for kl in (K1, CROSS_ENTROPY) for q in POSTERIORS + WIDE] + [(K3, *q) for q in WIDE]


def normal(loc: list[float], scale: list[float]) -> Independent:
    return Independent(Normal(torch.tensor(loc, dtype=torch.float64), torch.tensor(scale, dtype=torch.float64)), 1)


def prior_like(q: Independent, family: type = Normal) -> Independent:
    loc = q.base_dist.loc
    return Independent(family(torch.zeros_like(loc), torch.ones_like(loc)), 1)


def draws_of(q: Independent) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return reparameterise(q, torch.randn(DRAWS, *q.event_shape, generator=generator, dtype=torch.float64))


def kl_draws(estimator: KLEstimator, q: Independent, z: Tensor, family: type = Normal) -> Tensor:
    p = prior_like(q, family)
    return estimator.draws({"log_qz_x": q.log_prob(z), "log_pz": p.log_prob(z), "entropy": q.entropy()})


def variance(estimator: KLEstimator, q: Independent, family: type = Normal) -> Tensor:
    parts = one_draw(estimator, q, prior_like(q, family))
    assert parts is not None
    return parts.total


@pytest.mark.parametrize(("estimator", "loc", "scale"), CASES)
def test_draws_have_the_predicted_mean_and_variance(
    estimator: KLEstimator, loc: list[float], scale: list[float]
) -> None:
    q = normal(loc, scale)
    values = kl_draws(estimator, q, draws_of(q))
    assert_mean(values, kl_divergence(q, prior_like(q)))
    assert_variance(values, variance(estimator, q))


@pytest.mark.parametrize("estimator", [K1, K3, CROSS_ENTROPY])
@pytest.mark.parametrize(("loc", "scale"), [(0.5, 0.8), (-0.3, 1.3), (1.5, 0.9), (0.0, 1.0)])
def test_predicted_variances_equal_quadrature(estimator: KLEstimator, loc: float, scale: float) -> None:
    q = normal([loc], [scale])

    def moment(power: int) -> float:
        def integrand(z: float) -> float:
            point = torch.tensor([[z]], dtype=torch.float64)
            return float(kl_draws(estimator, q, point) ** power * q.log_prob(point).exp())

        return integrate.quad(integrand, loc - 14 * scale, loc + 14 * scale, epsabs=1e-12, limit=200)[0]

    assert moment(2) - moment(1) ** 2 == pytest.approx(float(variance(estimator, q)), abs=1e-8)


@pytest.mark.parametrize("scale", [0.01, 0.5, math.sqrt(0.5) - 1e-9])
def test_k3_has_infinite_variance_as_soon_as_one_posterior_variance_is_at_most_half(scale: float) -> None:
    assert variance(K3, normal([0.0] * 3, [1.0, scale, 1.0])) == math.inf
    assert variance(K3, normal([0.0] * 3, [1.0] * 3)) == 0


def test_cross_entropy_beats_k1_exactly_where_the_variance_is_below_half() -> None:
    better = [
        bool(variance(CROSS_ENTROPY, normal([0.3], [scale])) < variance(K1, normal([0.3], [scale])))
        for scale in (0.1, 0.70, 0.71, 1.5)
    ]
    assert better == [True, True, False, False]


def gaussian_cumulant(order: int, loc: Tensor, scale: Tensor) -> float:
    a, b = (scale.square() - 1) / 2, loc * scale
    of_square = math.factorial(order - 1) * 2 ** (order - 1) * a**order
    return float((of_square + math.factorial(order) / 2 * b.square() * (2 * a) ** (order - 2)).sum())


@pytest.mark.parametrize(("loc", "scale"), POSTERIORS)
def test_cumulants_of_k1(loc: list[float], scale: list[float]) -> None:
    q = normal(loc, scale)
    values = kl_draws(K1, q, draws_of(q))
    centred = values - kl_divergence(q, prior_like(q))
    assert_mean(centred.square(), gaussian_cumulant(2, q.base_dist.loc, q.base_dist.scale))
    assert_mean(centred**3, gaussian_cumulant(3, q.base_dist.loc, q.base_dist.scale))
    variance = gaussian_cumulant(2, q.base_dist.loc, q.base_dist.scale)
    assert_mean(centred**4 - 3 * variance**2, gaussian_cumulant(4, q.base_dist.loc, q.base_dist.scale), errors=5)


@pytest.mark.parametrize(("mu", "b"), [(0.0, 1.0), (0.7, 0.5), (-1.5, 0.2)])
@pytest.mark.parametrize("family", [Normal, Laplace])
def test_laplace_posterior_against_both_priors(mu: float, b: float, family: Any) -> None:
    q = Independent(Laplace(torch.tensor([mu], dtype=torch.float64), torch.tensor([b], dtype=torch.float64)), 1)
    decay = math.exp(-abs(mu) / b)
    if family is Normal:
        kl = -math.log(2 * b) - 1 + 0.5 * math.log(2 * math.pi) + 0.5 * (mu**2 + 2 * b**2)
        spread = 1 + 2 * mu**2 * b**2 + 5 * b**4 - 4 * b**2
    else:
        kl = -math.log(b) - 1 + abs(mu) + b * decay
        spread = 1 + mu**2 + 2 * b**2 - (abs(mu) + b * decay) ** 2 - 2 * (abs(mu) + b) * decay
    values = kl_draws(K1, q, draws_of(q), family)
    assert float(kl_divergence(q, prior_like(q, family))) == pytest.approx(kl, abs=1e-12)
    assert_mean(values, kl)
    assert_variance(values, spread)
    assert float(variance(K1, q, family)) == pytest.approx(spread)


def test_an_average_over_draws_has_the_variance_of_its_scheme() -> None:
    q = normal([0.5, 0.1], [0.8, 1.2]).expand([1])  # of one image
    p = normal([0.0, 0.0], [1.0, 1.0])
    parts = one_draw(K1, q, p)
    assert parts is not None
    assert parts.even is not None
    assert predicted_variance(K1, q, p, SCHEMES["iid"], 4) == parts.total / 4
    assert predicted_variance(K1, q, p, SCHEMES["antithetic"], 4) == parts.even / 2
    assert predicted_variance(K3, q, p, SCHEMES["antithetic"], 4) is None
    assert predicted_variance(K1, q, p, SCHEMES["sobol"], 4) is None
    assert all(predicted_variance(K1, q, p, scheme, 1) == parts.total for scheme in SCHEMES.values())


def test_a_prior_that_was_moved_has_no_prediction() -> None:
    q = normal([0.5], [0.8])
    assert one_draw(K1, q, normal([0.1], [1.0])) is None
