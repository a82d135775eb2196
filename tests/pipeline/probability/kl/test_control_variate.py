"""The coefficient of the control variate: the best one, fitted without the draws that it is used on."""

from __future__ import annotations

import math

import pytest
import torch
from conformance.standard_errors import assert_mean
from torch import Tensor

from pipeline.probability.kl.control_variate import ControlVariate, best_coefficient, coefficient_of_other_images

DRAWS = 200_000


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def quadratic_case(curvature: float, slope: float) -> tuple[Tensor, Tensor, float, float]:
    """Reconstruction and k1 of q = N(0.5, 0.8^2), both quadratic in the noise; the exact KL and the exact best c."""
    eps = torch.randn(DRAWS, 1, generator=rng(3), dtype=torch.float64)
    a, b = (0.8**2 - 1) / 2, 0.5 * 0.8
    log_px_z = -700 + curvature * eps.square() + slope * eps
    kl = 0.5 * (0.8**2 + 0.5**2 - 1) - math.log(0.8)
    k1 = kl + a * (eps.square() - 1) + b * eps
    return log_px_z, k1, kl, (2 * curvature * a + slope * b) / (2 * a**2 + b**2)


def mixed(k1: Tensor, kl: float, coefficient: Tensor) -> Tensor:
    """The estimator's draws, for a k1 and a KL that are given."""
    closed_form = torch.tensor([kl], dtype=torch.float64)
    terms = {"log_qz_x": k1, "log_pz": torch.zeros_like(k1), "kl": closed_form, "coefficient": coefficient}
    return ControlVariate().draws(terms)


@pytest.mark.parametrize(("curvature", "slope"), [(-2.0, 1.0), (-0.1, 0.3), (0.0, 0.0), (0.5, -2.0)])
def test_control_variate_is_the_best_fixed_mixture(curvature: float, slope: float) -> None:
    log_px_z, k1, kl, best = quadratic_case(curvature, slope)
    fitted = best_coefficient(log_px_z, k1)
    assert float(fitted) == pytest.approx(best, abs=0.02 * (1 + abs(best)))

    def variance(c: float) -> float:
        mixture = mixed(k1, kl, torch.tensor(c))
        assert_mean(mixture[:, 0], kl)
        return float((log_px_z - mixture).var())

    assert variance(best) <= min(variance(0.0), variance(1.0)) * (1 + 1e-9)
    assert variance(best) <= min(variance(best - 0.1), variance(best + 0.1))


def test_control_variate_at_the_posterior_is_k1_and_has_no_variance() -> None:
    _, k1, kl, _ = quadratic_case(0.0, 0.0)
    log_px_z = k1 - 100  # log p(x|z) - k1 is constant exactly where q is the posterior
    coefficient = best_coefficient(log_px_z, k1)
    assert float(coefficient) == pytest.approx(1)
    mixture = mixed(k1, kl, coefficient)
    assert float((log_px_z - mixture).var()) < 1e-20


def test_control_variate_needs_two_draws_and_forgives_a_constant_k1() -> None:
    with pytest.raises(ValueError, match="at least 2 draws, got 1"):
        best_coefficient(torch.zeros(1, 3), torch.zeros(1, 3))
    assert best_coefficient(torch.randn(5, 3, generator=rng()), torch.ones(5, 3)).tolist() == [0] * 3


def test_control_variate_coefficient_ignores_the_images_own_draws() -> None:
    log_px_z, k1 = torch.randn(2, 4, 6, generator=rng(), dtype=torch.float64)
    before = coefficient_of_other_images(log_px_z, k1)
    changed_rec, changed_k1 = log_px_z.clone(), k1.clone()
    changed_rec[:, 2] += torch.randn(4, generator=rng(5), dtype=torch.float64)
    changed_k1[:, 2] *= 3
    after = coefficient_of_other_images(changed_rec, changed_k1)
    assert float(after[2]) == pytest.approx(float(before[2]), abs=1e-12)
    assert (after - before).abs().max() > 1e-3
    assert coefficient_of_other_images(log_px_z[:, :1], k1[:, :1]).tolist() == [0]
