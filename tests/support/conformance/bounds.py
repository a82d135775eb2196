"""What every bound must fulfil: its expectation is as told, and on its side of log p(x).

The weights are those of a linear-Gaussian model in one latent dimension, whose log p(x) is known, for a q that is off
the posterior and wider.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from conformance.standard_errors import assert_mean
from pipeline.calibration.cases import Case, linear_case
from pipeline.calibration.evidence import expected_bound, weights_of
from pipeline.probability.bounds import Bound

SIZES = (2, 8)
REPEATS = 20_000


@cache
def model() -> tuple[Case, MultivariateNormal]:
    case = linear_case(1, 1, torch.Generator().manual_seed(0))
    posterior = case.model.posterior(case.flat)
    return case, MultivariateNormal(posterior.loc + 0.4, 2 * posterior.covariance_matrix)


@cache
def log_weights(num: int) -> Tensor:
    """[K, repeat]"""
    noise = torch.randn(num, REPEATS, 1, generator=torch.Generator().manual_seed(num), dtype=torch.float64)
    return weights_of(*model(), noise)


def expectation(bound: Bound, num: int) -> float:
    """The bound's own formula, from the exact expectation of the log of a mean of K weights."""
    return bound.expectation(lambda count: expected_bound(*model(), count), num)


def check_facts(bound: Bound) -> None:
    """It has a name and words; whether its expectation changes with K is as it says."""
    assert bound.name
    assert bound.label
    assert bound.about
    few, many = (expectation(bound, num) for num in SIZES)
    assert (abs(few - many) > 1e-9) == bound.uses_all_draws


def check_mean(bound: Bound) -> None:
    """Its draws have the expectation that it says."""
    for num in SIZES:
        draws = bound.of(log_weights(num))
        assert draws.shape == (REPEATS,)
        assert_mean(draws, expectation(bound, num))


def check_side(bound: Bound) -> None:
    """A bound is below log p(x), in its draws' mean as in its formula; so are those that say no such thing, roughly."""
    case, _ = model()
    log_px = float(case.model.log_px(case.flat))
    for num in SIZES:
        mean = float(bound.of(log_weights(num)).mean())
        if bound.below:
            assert expectation(bound, num) < log_px
            assert mean < log_px
        else:
            assert abs(expectation(bound, num) - log_px) < abs(expected_bound(*model(), num) - log_px)


def check_shift_and_order(bound: Bound) -> None:
    """Weights times a constant move it by the logarithm; the order of the draws does not matter."""
    weights = log_weights(8)[:, :100]
    torch.testing.assert_close(bound.of(weights + 3), bound.of(weights) + 3)
    torch.testing.assert_close(bound.of(weights.flip(0)), bound.of(weights))


CHECKS = (check_facts, check_mean, check_side, check_shift_and_order)
