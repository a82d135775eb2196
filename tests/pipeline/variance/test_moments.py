"""Variances with honest errors: unbiasedness, coverage and slopes, by simulation of known distributions."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import stats

from pipeline.variance.moments import NORMAL_97_5, group_deviations, image_moments, log_interval, log_log_slope, pool


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def k1_like(shape: tuple[int, ...], seed: int = 0) -> torch.Tensor:
    """Draws like k1 of one active unit: a (e^2 - 1) + b e with sigma = 0.05, mu = 1; excess kurtosis near 12."""
    noise = torch.randn(shape, generator=generator(seed), dtype=torch.float64)
    return 0.5 * (0.05**2 - 1) * (noise.square() - 1) + 0.05 * noise


K1_VARIANCE = 0.5 * (0.05**2 - 1) ** 2 + 0.05**2


def test_variance_and_kurtosis_are_unbiased_for_few_heavy_tailed_groups() -> None:
    moments = image_moments(k1_like((8, 1, 200_000)))
    a, b = (0.05**2 - 1) / 2, 0.05
    fourth_cumulant = 6 * 8 * a**4 + 12 * b**2 * (2 * a) ** 2
    for value, exact in (
        (moments.variance, K1_VARIANCE),
        (moments.fourth_cumulant, fourth_cumulant),
        (moments.squared_variance, K1_VARIANCE**2),
    ):
        error = float(value.std()) / math.sqrt(value.numel())
        assert abs(float(value.mean()) - exact) < 5 * error


@pytest.mark.parametrize("groups", [6, 8, 64])
def test_jackknife_error_matches_the_spread_of_the_variance(groups: int) -> None:
    """Never below the true spread, and above it only by the O(1/R^2) of its own theory."""
    moments = image_moments(k1_like((groups, 1, 40_000), seed=groups))
    ratio = float(moments.variance_of_variance.mean() / moments.variance.var())
    error = 5 * float(moments.variance_of_variance.std() / moments.variance_of_variance.mean()) / math.sqrt(40_000)
    assert 1 - error < ratio < 1 + 2 / (groups - 2) + error


@pytest.mark.parametrize(("groups", "images"), [(64, 32), (8, 128), (1024, 1)])
def test_interval_covers_95_percent_where_chi_square_does_not(groups: int, images: int) -> None:
    trials = 1500
    draws = k1_like((groups, 1, trials * images), seed=7)
    moments = image_moments(draws)
    covered = chi_covered = 0
    degrees = (groups - 1) * images
    low_chi, high_chi = stats.chi2.ppf([0.025, 0.975], degrees) / degrees
    for trial in range(trials):
        part = slice(trial * images, (trial + 1) * images)
        pooled = pool(type(moments)(*(value[part] for value in moments)))
        covered += pooled.low <= K1_VARIANCE <= pooled.high
        chi_covered += pooled.variance / high_chi <= K1_VARIANCE <= pooled.variance / low_chi
    assert covered / trials == pytest.approx(0.95, abs=5 * math.sqrt(0.95 * 0.05 / trials))
    assert chi_covered / trials < 0.7


def test_dependent_positions_add_no_certainty() -> None:
    """A block repeated within its group is one observation: the same variance and error, not smaller ones."""
    single = k1_like((32, 1, 16))
    one, repeated = pool(image_moments(single)), pool(image_moments(single.expand(32, 8, 16).clone()))
    assert repeated.variance == pytest.approx(one.variance, rel=1e-12)
    assert repeated.standard_error == pytest.approx(one.standard_error, rel=1e-12)


def test_independent_positions_do() -> None:
    draws = k1_like((32, 8, 64))
    grouped, flat = pool(image_moments(draws)), pool(image_moments(draws.flatten(0, 1).unsqueeze(1)))
    assert grouped.variance == pytest.approx(flat.variance, abs=3 * flat.standard_error)
    assert grouped.standard_error == pytest.approx(flat.standard_error, rel=0.15)


def test_between_images_is_the_variance_of_the_means_without_the_noise() -> None:
    means = 0.3 * torch.randn(20_000, generator=generator(1), dtype=torch.float64)
    pooled = pool(image_moments(means + k1_like((16, 1, 20_000))))
    assert pooled.between_images == pytest.approx(0.09, abs=5 * 0.12 * math.sqrt(2 / 20_000))


def test_slope_of_independent_draws_has_an_honest_error() -> None:
    """Variances at all L come from the same draws: z-scores over many studies must still have unit spread."""
    scores = []
    for seed in range(200):
        draws = k1_like((256, 32), seed=seed)
        deviations = {
            length: group_deviations(draws.view(16, 16 // length, length, 32).mean(2)) for length in (1, 2, 4, 8, 16)
        }
        slope, error = log_log_slope(deviations)
        scores.append((slope + 1) / error)
    spread = torch.tensor(scores).std().item()
    assert abs(sum(scores) / 200) < 5 / math.sqrt(200)
    assert spread == pytest.approx(1.0, abs=5 / math.sqrt(2 * 200))


def test_interval_of_nothing() -> None:
    assert log_interval(0.0, 0.0) == (0.0, 0.0)
    low, high = log_interval(2.0, 0.1)
    assert low * high == pytest.approx(4.0)
    assert math.log(high / 2) == pytest.approx(NORMAL_97_5 * 0.05)


def test_refusals() -> None:
    with pytest.raises(ValueError, match="groups must be at least 4, got 3"):
        image_moments(torch.zeros(3, 1, 2))
    with pytest.raises(ValueError, match="at least 2 values of num_samples"):
        log_log_slope({1: torch.ones(4, 2)})
