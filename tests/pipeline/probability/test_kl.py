from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis.extra.numpy import arrays
from scipy import integrate, special
from torch import Tensor
from torch.distributions import Independent, Laplace, Normal, kl_divergence

from pipeline.probability import kl as estimators
from pipeline.probability.bounds import iwae_bound, jackknife, leave_one_out_bound, log_mean_exp
from pipeline.probability.diagnostics import (
    active_units,
    aggregate_kl,
    bits_per_dim,
    effective_sample_size,
    mutual_information,
    pareto_k,
)
from pipeline.probability.distributions import reparameterise

DRAWS = 200_000
POSTERIORS = [  # location and scale in each dimension; trained VAEs have both kinds of units
    ([0.5], [0.8]),
    ([-1.2, 0.0, 0.3], [0.3, 1.0, 1.4]),
    ([2.0, -2.0], [0.05, 0.1]),
]
WIDE = [([0.2], [0.95]), ([0.3, 0.0, -0.4], [1.0, 1.2, 1.1])]  # every variance well above 1/2, where k3 behaves


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(loc: list[float], scale: list[float]) -> Independent:
    return Independent(Normal(torch.tensor(loc, dtype=torch.float64), torch.tensor(scale, dtype=torch.float64)), 1)


def prior_like(q: Independent, family: type = Normal) -> Independent:
    loc = q.base_dist.loc
    return Independent(family(torch.zeros_like(loc), torch.ones_like(loc)), 1)


def draws_of(q: Independent, count: int = DRAWS, seed: int = 0) -> Tensor:
    return reparameterise(q, torch.randn(count, *q.event_shape, generator=rng(seed), dtype=torch.float64))


def assert_mean(values: Tensor, exact: float | Tensor | np.ndarray, errors: float = 4.5) -> None:
    standard_error = float(values.std() / math.sqrt(len(values)))
    assert abs(float(values.mean()) - float(exact)) <= errors * standard_error + 1e-12


def assert_variance(values: Tensor, exact: float | Tensor | np.ndarray, errors: float = 4.5) -> None:
    """Standard error of a variance from the fourth moment: Var(s^2) = (m4 - sigma^4) / R."""
    assert_mean((values - values.mean()).square(), exact, errors)


# --- KL estimators: mean and variance -------------------------------------------------------------------------------


def kl_draws(name: str, q: Independent, z: Tensor) -> Tensor:
    log_qz_x, log_pz = q.log_prob(z), prior_like(q).log_prob(z)
    return {
        "k1": lambda: estimators.k1(log_qz_x, log_pz),
        "k3": lambda: estimators.k3(log_qz_x, log_pz),
        "cross_entropy": lambda: estimators.cross_entropy_kl(q.entropy(), log_pz),
    }[name]()


CASES = [(name, *q) for name in ("k1", "cross_entropy") for q in POSTERIORS + WIDE] + [("k3", *q) for q in WIDE]
PREDICTED: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "k1": estimators.predicted_k1_variance,
    "k3": estimators.predicted_k3_variance,
    "cross_entropy": estimators.predicted_cross_entropy_variance,
}


@pytest.mark.parametrize(("name", "loc", "scale"), CASES)
def test_kl_estimators_have_the_predicted_mean_and_variance(name: str, loc: list[float], scale: list[float]) -> None:
    q = normal(loc, scale)
    values = kl_draws(name, q, draws_of(q))
    assert_mean(values, kl_divergence(q, prior_like(q)))
    assert_variance(values, PREDICTED[name](q.base_dist.loc, q.base_dist.scale))


@pytest.mark.parametrize("name", ["k1", "k3", "cross_entropy"])
@pytest.mark.parametrize(("loc", "scale"), [(0.5, 0.8), (-0.3, 1.3), (1.5, 0.9), (0.0, 1.0)])
def test_predicted_variances_equal_quadrature(name: str, loc: float, scale: float) -> None:
    q = normal([loc], [scale])

    def moment(power: int) -> float:
        def integrand(z: float) -> float:
            point = torch.tensor([[z]], dtype=torch.float64)
            return float(kl_draws(name, q, point) ** power * q.log_prob(point).exp())

        return integrate.quad(integrand, loc - 14 * scale, loc + 14 * scale, epsabs=1e-12, limit=200)[0]

    predicted = PREDICTED[name](q.base_dist.loc, q.base_dist.scale)
    assert moment(2) - moment(1) ** 2 == pytest.approx(float(predicted), abs=1e-8)


@pytest.mark.parametrize("scale", [0.01, 0.5, math.sqrt(0.5) - 1e-9])
def test_k3_has_infinite_variance_as_soon_as_one_posterior_variance_is_at_most_half(scale: float) -> None:
    scales = torch.tensor([1.0, scale, 1.0], dtype=torch.float64)
    assert estimators.predicted_k3_variance(torch.zeros(3, dtype=torch.float64), scales) == math.inf
    assert estimators.predicted_k3_variance(torch.zeros(3), torch.ones(3)) == 0


def test_cross_entropy_beats_k1_exactly_where_the_variance_is_below_half() -> None:
    scale = torch.tensor([0.1, 0.70, 0.71, 1.5], dtype=torch.float64).unsqueeze(-1)
    loc = torch.full_like(scale, 0.3)
    better = estimators.predicted_cross_entropy_variance(loc, scale) < estimators.predicted_k1_variance(loc, scale)
    assert better.tolist() == [True, True, False, False]


def gaussian_cumulant(order: int, loc: Tensor, scale: Tensor) -> float:
    a, b = (scale.square() - 1) / 2, loc * scale
    of_square = math.factorial(order - 1) * 2 ** (order - 1) * a**order
    return float((of_square + math.factorial(order) / 2 * b.square() * (2 * a) ** (order - 2)).sum())


@pytest.mark.parametrize(("loc", "scale"), POSTERIORS)
def test_cumulants_of_k1(loc: list[float], scale: list[float]) -> None:
    q = normal(loc, scale)
    values = kl_draws("k1", q, draws_of(q))
    centred = values - kl_divergence(q, prior_like(q))
    assert_mean(centred.square(), gaussian_cumulant(2, q.base_dist.loc, q.base_dist.scale))
    assert_mean(centred**3, gaussian_cumulant(3, q.base_dist.loc, q.base_dist.scale))
    variance = gaussian_cumulant(2, q.base_dist.loc, q.base_dist.scale)
    assert_mean(centred**4 - 3 * variance**2, gaussian_cumulant(4, q.base_dist.loc, q.base_dist.scale), errors=5)


@pytest.mark.parametrize(("mu", "b"), [(0.0, 1.0), (0.7, 0.5), (-1.5, 0.2)])
def test_laplace_posterior_against_both_priors(mu: float, b: float) -> None:
    q = Independent(Laplace(torch.tensor([mu], dtype=torch.float64), torch.tensor([b], dtype=torch.float64)), 1)
    z, c = draws_of(q), abs(mu) / b
    against_normal = estimators.k1(q.log_prob(z), prior_like(q).log_prob(z))
    kl = -math.log(2 * b) - 1 + 0.5 * math.log(2 * math.pi) + 0.5 * (mu**2 + 2 * b**2)
    assert float(kl_divergence(q, prior_like(q))) == pytest.approx(kl, abs=1e-12)
    assert_mean(against_normal, kl)
    assert_variance(against_normal, 1 + 2 * mu**2 * b**2 + 5 * b**4 - 4 * b**2)
    against_laplace = estimators.k1(q.log_prob(z), prior_like(q, Laplace).log_prob(z))
    kl = -math.log(b) - 1 + abs(mu) + b * math.exp(-c)
    variance = 1 + mu**2 + 2 * b**2 - (abs(mu) + b * math.exp(-c)) ** 2 - 2 * (abs(mu) + b) * math.exp(-c)
    assert float(kl_divergence(q, prior_like(q, Laplace))) == pytest.approx(kl, abs=1e-12)
    assert_mean(against_laplace, kl)
    assert_variance(against_laplace, variance)


# --- the control variate --------------------------------------------------------------------------------------------


def quadratic_case(curvature: float, slope: float) -> tuple[Tensor, Tensor, float, float]:
    """Reconstruction and k1 of q = N(0.5, 0.8^2), both quadratic in the noise; the exact KL and the exact best c."""
    eps = torch.randn(DRAWS, 1, generator=rng(3), dtype=torch.float64)
    a, b = (0.8**2 - 1) / 2, 0.5 * 0.8
    log_px_z = -700 + curvature * eps.square() + slope * eps
    kl = 0.5 * (0.8**2 + 0.5**2 - 1) - math.log(0.8)
    k1 = kl + a * (eps.square() - 1) + b * eps
    return log_px_z, k1, kl, (2 * curvature * a + slope * b) / (2 * a**2 + b**2)


@pytest.mark.parametrize(("curvature", "slope"), [(-2.0, 1.0), (-0.1, 0.3), (0.0, 0.0), (0.5, -2.0)])
def test_control_variate_is_the_best_fixed_mixture(curvature: float, slope: float) -> None:
    log_px_z, k1, kl, best = quadratic_case(curvature, slope)
    fitted = estimators.control_variate_coefficient(log_px_z, k1)
    assert float(fitted) == pytest.approx(best, abs=0.02 * (1 + abs(best)))

    def variance(c: float) -> float:
        mixture = estimators.control_variate_kl(k1, torch.tensor([kl], dtype=torch.float64), torch.tensor(c))
        assert_mean(mixture[:, 0], kl)
        return float((log_px_z - mixture).var())

    assert variance(best) <= min(variance(0.0), variance(1.0)) * (1 + 1e-9)
    assert variance(best) <= min(variance(best - 0.1), variance(best + 0.1))


def test_control_variate_at_the_posterior_is_k1_and_has_no_variance() -> None:
    _, k1, kl, _ = quadratic_case(0.0, 0.0)
    log_px_z = k1 - 100  # log p(x|z) - k1 is constant exactly where q is the posterior
    coefficient = estimators.control_variate_coefficient(log_px_z, k1)
    assert float(coefficient) == pytest.approx(1)
    mixture = estimators.control_variate_kl(k1, torch.tensor([kl], dtype=torch.float64), coefficient)
    assert float((log_px_z - mixture).var()) < 1e-20


def test_control_variate_needs_two_draws_and_forgives_a_constant_k1() -> None:
    with pytest.raises(ValueError, match="at least 2 draws, got 1"):
        estimators.control_variate_coefficient(torch.zeros(1, 3), torch.zeros(1, 3))
    assert (
        estimators.control_variate_coefficient(torch.randn(5, 3, generator=rng()), torch.ones(5, 3)).tolist() == [0] * 3
    )


# --- log-mean-exp, exactly: the mean of K Gamma(a)/a weights is Gamma(Ka)/(Ka) --------------------------------------


def gamma_bound(shape: float, count: int) -> float:
    return float(special.digamma(count * shape) - math.log(count * shape))


def gamma_log_weights(halves: int, count: int, repeats: int) -> Tensor:
    """log of Gamma(a)/a weights with a = halves/2: half a chi-square with `halves` degrees of freedom."""
    normals = torch.randn(halves, count, repeats, generator=rng(7), dtype=torch.float64)
    return (normals.square().sum(0) / halves).log()


@pytest.mark.parametrize("count", [1, 2, 8, 32])
@pytest.mark.parametrize("halves", [1, 4])
def test_mean_and_variance_of_log_mean_exp(halves: int, count: int) -> None:
    values = log_mean_exp(gamma_log_weights(halves, count, 50_000))
    assert_mean(values, gamma_bound(halves / 2, count))
    assert_variance(values, special.polygamma(1, count * halves / 2))


@pytest.mark.parametrize("count", [2, 8, 32])
def test_mean_of_jackknife(count: int) -> None:
    values = jackknife(gamma_log_weights(2, count, 50_000))
    assert_mean(values, count * gamma_bound(1.0, count) - (count - 1) * gamma_bound(1.0, count - 1))


def test_orders_of_bias() -> None:
    """The bias of L_K falls as 1/K with the predicted constants, that of JVI-1 as 1/K^2."""
    shape, counts = 2.0, np.array([16, 32, 64, 128])
    relative_variance, skew = 1 / shape, 2 / shape**2  # central moments 2 and 3 of Gamma(a)/a, whose mean is 1
    bias = np.array([gamma_bound(shape, int(k)) for k in counts])
    predicted = -relative_variance / (2 * counts) + (skew / 3 - 0.75 * relative_variance**2) / counts**2
    assert np.abs(bias - predicted).max() < 1e-4 * np.abs(bias).max()
    jackknife = np.array([k * gamma_bound(shape, int(k)) - (k - 1) * gamma_bound(shape, int(k) - 1) for k in counts])
    assert np.polyfit(np.log(counts), np.log(-bias), 1)[0] == pytest.approx(-1, abs=0.03)
    assert np.polyfit(np.log(counts), np.log(np.abs(jackknife)), 1)[0] == pytest.approx(-2, abs=0.06)


def test_jackknife_equals_leaving_out_one_by_one() -> None:
    log_weights = 3 * torch.randn(7, 4, generator=rng(), dtype=torch.float64)
    others = [torch.cat((log_weights[:i], log_weights[i + 1 :])) for i in range(7)]
    without = torch.stack([log_mean_exp(rest) for rest in others])
    torch.testing.assert_close(leave_one_out_bound(log_weights), without)
    expected = 7 * log_mean_exp(log_weights) - 6 * without.mean(0)
    torch.testing.assert_close(jackknife(log_weights), expected)


def test_leaving_out_the_dominant_weight_keeps_the_others() -> None:
    log_weights = torch.tensor([0.0, 1.0, 1000.0, 2.0])
    without = leave_one_out_bound(log_weights)
    assert float(without[2]) == pytest.approx(math.log((1 + math.e + math.e**2) / 3), abs=1e-5)
    assert without.isfinite().all()


@pytest.mark.parametrize("function", [leave_one_out_bound, jackknife])
def test_leaving_one_out_of_one_is_refused(function: Callable[[Tensor], Tensor]) -> None:
    with pytest.raises(ValueError, match="at least 2 draws, got 1"):
        function(torch.zeros(1, 3))


@pytest.mark.parametrize(("count", "message"), [(0, "at least 1, got 0"), (4, "multiple of .* 4, got 6")])
def test_importance_groups_refuse(count: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        iwae_bound(torch.zeros(6, 2), count)


# --- properties -----------------------------------------------------------------------------------------------------

log_weight_arrays = arrays(np.float64, (8, 3), elements=st.floats(-1e4, 1e4, width=32))


@settings(deadline=None, max_examples=60)
@given(log_weight_arrays, st.permutations(range(8)), st.floats(-1e4, 1e4))
def test_bounds_know_no_order_and_follow_a_shift(values: np.ndarray, order: list[int], shift: float) -> None:
    log_weights = torch.from_numpy(values)
    for function in (log_mean_exp, effective_sample_size):
        torch.testing.assert_close(function(log_weights[order]), function(log_weights), rtol=1e-9, atol=1e-9)
    shifted = log_mean_exp(log_weights + shift)
    torch.testing.assert_close(shifted, log_mean_exp(log_weights) + shift, rtol=1e-9, atol=1e-7)
    ess = effective_sample_size(log_weights)
    torch.testing.assert_close(effective_sample_size(log_weights + shift), ess, rtol=1e-6, atol=1e-6)


@settings(deadline=None, max_examples=60)
@given(log_weight_arrays)
def test_bounds_grow_with_importance_samples_and_never_pass_the_largest_weight(values: np.ndarray) -> None:
    """ELBO <= IWAE_2 <= IWAE_4 <= IWAE_8 holds for every set of draws, so in expectation."""
    log_weights = torch.from_numpy(values)
    ladder = [iwae_bound(log_weights, count).mean(0) for count in (1, 2, 4, 8)]
    for lower, upper in itertools.pairwise(ladder):
        assert (lower <= upper + 1e-9).all()
    torch.testing.assert_close(ladder[0], log_weights.mean(0), rtol=1e-12, atol=1e-9)
    assert (ladder[-1] <= log_weights.max(0).values + 1e-9).all()
    ess = effective_sample_size(log_weights)
    assert ((ess >= 1 - 1e-9) & (ess <= 8 + 1e-9)).all()


@settings(deadline=None, max_examples=60)
@given(log_weight_arrays, st.sampled_from([torch.float32, torch.float64]))
def test_no_nan_at_extremes(values: np.ndarray, dtype: torch.dtype) -> None:
    log_weights = torch.from_numpy(values).to(dtype)
    for function in (
        log_mean_exp,
        jackknife,
        leave_one_out_bound,
        effective_sample_size,
    ):
        result = function(log_weights)
        assert result.dtype == dtype
        assert result.isfinite().all()
    assert not estimators.k3(log_weights, log_weights.flip(0)).isnan().any()


@settings(deadline=None, max_examples=40)
@given(arrays(np.float64, st.tuples(st.just(4), st.integers(1, 3), st.integers(1, 3)), elements=st.floats(-50, 50)))
def test_any_trailing_shape_and_vectorised_equals_loop(values: np.ndarray) -> None:
    log_weights = torch.from_numpy(values)
    for function in (log_mean_exp, jackknife, effective_sample_size):
        together = function(log_weights)
        for i in range(log_weights.shape[1]):
            for j in range(log_weights.shape[2]):
                torch.testing.assert_close(together[i, j], function(log_weights[:, i, j]))
    groups = iwae_bound(log_weights, 2)
    for i in range(2):
        torch.testing.assert_close(groups[i], log_mean_exp(log_weights[2 * i : 2 * i + 2]))


# --- diagnostics ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [0.3, 0.7, 1.2])
def test_pareto_k_of_pareto_weights(shape: float) -> None:
    uniform = torch.rand(10_000, 4, generator=rng(), dtype=torch.float64)
    fitted = pareto_k(-shape * uniform.log())
    tail = 3 * math.sqrt(10_000)
    assert fitted.tolist() == pytest.approx([shape] * 4, abs=4.5 * (1 + shape) / math.sqrt(tail))


def test_pareto_k_at_its_limits() -> None:
    log_weights = torch.randn(400, 2, 3, generator=rng())
    assert pareto_k(log_weights).shape == (2, 3)
    torch.testing.assert_close(pareto_k(log_weights), pareto_k(log_weights + 5), rtol=1e-4, atol=1e-4)
    assert pareto_k(torch.zeros(100, 2)).isnan().all()
    assert pareto_k(log_weights[:24]).isnan().all()
    assert (pareto_k(1000 * log_weights[:, 0]) == math.inf).all()


def test_active_units() -> None:
    loc = torch.stack((torch.tensor([1.0, -1.0, 0.0]), torch.full((3,), 4.0), torch.tensor([0.0, 0.05, 0.0])), dim=1)
    assert active_units(loc) == 1
    assert active_units(loc, threshold=1e-4) == 2
    with pytest.raises(ValueError, match="at least 2 images, got 1"):
        active_units(loc[:1])


def test_information_of_images_far_apart_is_the_log_of_their_number() -> None:
    log_qz_x, log_pz = torch.tensor([1.0, 2.0]), torch.tensor([-3.0, 0.5])
    log_qz = log_qz_x - math.log(2)  # neither image's posterior reaches the other's
    assert mutual_information(log_qz_x, log_qz).tolist() == pytest.approx([math.log(2)] * 2)
    split = mutual_information(log_qz_x, log_qz) + aggregate_kl(log_qz, log_pz)
    torch.testing.assert_close(split, estimators.k1(log_qz_x, log_pz))


def test_bits_per_dim_of_uniform_pixels() -> None:
    assert bits_per_dim(-784 * math.log(16), 784) == pytest.approx(4.0)
    assert float(bits_per_dim(torch.tensor(-543.43), 784)) == pytest.approx(1.0, abs=1e-5)
