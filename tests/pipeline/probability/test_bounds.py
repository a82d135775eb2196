"""Bounds of weights whose expectation is known exactly, and properties that hold for any weights."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from conformance import bounds as suite
from conformance.standard_errors import assert_mean, assert_variance
from hypothesis import given, settings
from hypothesis.extra.numpy import arrays
from scipy import special
from torch import Tensor

from pipeline.probability.bounds import BOUNDS, Bound, iwae_bound, jackknife, leave_one_out_bound, log_mean_exp
from pipeline.probability.diagnostics import effective_sample_size
from pipeline.probability.kl.registry import KL_ESTIMATORS


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# --- every registered bound -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("check", suite.CHECKS)
@pytest.mark.parametrize("bound", BOUNDS.values(), ids=BOUNDS)
def test_conformance(bound: Bound, check: Callable[[Bound], None]) -> None:
    check(bound)


IWAE, JACKKNIFE, ELBO = BOUNDS["iwae"], BOUNDS["jackknife"], BOUNDS["elbo"]
MISTAKES = {
    "log of K - 1": (IWAE._replace(of=lambda w: log_mean_exp(w) + math.log(len(w) / (len(w) - 0.5))), suite.check_mean),
    "wrong sign": (ELBO._replace(of=lambda w: -w.mean(0)), suite.check_mean),
    "largest weight": (IWAE._replace(of=lambda w: w.amax(0)), suite.check_mean),
    "no jackknife": (JACKKNIFE._replace(of=log_mean_exp), suite.check_mean),
    "weights, not logarithms": (ELBO._replace(of=lambda w: w.exp().mean(0)), suite.check_shift_and_order),
    "order matters": (IWAE._replace(of=lambda w: w[0]), suite.check_shift_and_order),
    "above log p(x)": (IWAE._replace(of=lambda w: log_mean_exp(w) + 1), suite.check_side),
    "claims that K does not matter": (IWAE._replace(uses_all_draws=False), suite.check_facts),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_found(mistake: str) -> None:
    bound, check = MISTAKES[mistake]
    with pytest.raises(AssertionError):
        check(bound)


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
    k3 = KL_ESTIMATORS["monte_carlo_k3"].draws({"log_qz_x": log_weights, "log_pz": log_weights.flip(0)})
    assert not k3.isnan().any()


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
