"""What every sampling scheme must fulfil: each draw alone is N(0, I), images are independent, averages are as told."""

from __future__ import annotations

import torch
from scipy import stats
from torch import Tensor

from conformance.standard_errors import assert_mean, assert_variance
from pipeline.probability.kl.monte_carlo import MonteCarlo
from pipeline.probability.schemes.scheme import SamplingScheme

LENGTH, BATCH = 8, 20_000
LOC, SCALE = torch.tensor([0.5], dtype=torch.float64), torch.tensor([0.8], dtype=torch.float64)
KL = float(0.5 * (SCALE**2 + LOC**2 - 1) - SCALE.log())


def noise(scheme: SamplingScheme, dim: int, *, num_samples: int = LENGTH, seed: int = 0) -> Tensor:
    """Draws [sample, image, dim]."""
    generator = torch.Generator().manual_seed(seed)
    return scheme.noise(num_samples, BATCH, dim, generator=generator, dtype=torch.float64, device="cpu")


def k1_averages(scheme: SamplingScheme) -> Tensor:
    """k1 of N(LOC, SCALE^2) against N(0, 1), averaged over the draws of each image."""
    e = noise(scheme, 1)[..., 0]
    return (-SCALE.log() - 0.5 * e.square() + 0.5 * (LOC + SCALE * e).square()).mean(0)


def check_facts(scheme: SamplingScheme) -> None:
    """Its name, its words, its rule for the number of draws and the size of a group agree."""
    assert scheme.name
    assert scheme.label
    assert scheme.allows(LENGTH)
    assert LENGTH % scheme.group(LENGTH) == 0
    assert scheme.independent == (scheme.group(LENGTH) == 1)
    assert scheme.nets == (scheme.group(64) == 64)


def check_every_draw_is_standard_normal(scheme: SamplingScheme) -> None:
    """By a Kolmogorov-Smirnov test of each coordinate, at several places along the sample axis."""
    for position in (0, 5, 7):
        for column in noise(scheme, 3)[position].T:
            assert stats.kstest(column.numpy(), "norm").pvalue > 1e-4


def check_images_and_dimensions_are_independent(scheme: SamplingScheme) -> None:
    """Products of two images, and of two dimensions, have mean 0."""
    values = noise(scheme, 2)
    for position in range(LENGTH):
        assert_mean((values[position, ::2] * values[position, 1::2])[:, 0], 0.0)
        assert_mean(values[position, :, 0] * values[position, :, 1], 0.0)


def check_groups_are_independent(scheme: SamplingScheme) -> None:
    """Draws of different groups are uncorrelated, and so are their squares."""
    group = scheme.group(LENGTH)
    values = noise(scheme, 1)[..., 0]
    for position in range(group, LENGTH, group):
        assert_mean(values[0] * values[position], 0.0)
        assert_mean((values[0].square() - 1) * (values[position].square() - 1), 0.0)


def check_averages(scheme: SamplingScheme) -> None:
    """Unbiased; and of the predicted variance, where there is one."""
    averages = k1_averages(scheme)
    assert_mean(averages, KL)
    variance = scheme.variance(MonteCarlo().gaussian(LOC, SCALE), LENGTH)
    if variance is not None:
        assert_variance(averages, variance)


def check_the_generator_is_the_only_randomness(scheme: SamplingScheme) -> None:
    """Same seed, same draws; the global generator stays as it was."""
    state = torch.get_rng_state()
    assert torch.equal(noise(scheme, 2, seed=1), noise(scheme, 2, seed=1))
    assert not torch.equal(noise(scheme, 2, seed=1), noise(scheme, 2, seed=2))
    assert torch.equal(state, torch.get_rng_state())


CHECKS = (
    check_facts,
    check_every_draw_is_standard_normal,
    check_images_and_dimensions_are_independent,
    check_groups_are_independent,
    check_averages,
    check_the_generator_is_the_only_randomness,
)
