"""How well a variance is known: moments of groups of draws, per image and pooled over images.

An estimator that averages L draws is repeated on disjoint blocks of L draws. Blocks are arranged as
`[group, position, image]`: groups are independent randomisations of the sampling scheme, the blocks inside one group
(its positions) have the same distribution but depend on each other (the 128 / L blocks of one Sobol net). Independent
draws have one position per group.

Var(s^2) of a sample variance of R independent values is sigma^4 (2/(R-1) + kappa/R), kappa the excess kurtosis: the
chi-square interval assumes kappa = 0 and is far too narrow for log-densities. The jackknife over groups used here has
the expectation sigma^4 (2/(R-2) + kappa/R) for independent values, and stays valid when positions depend on each other.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

MIN_GROUPS = 4
"""Fewer independent groups than this give no fourth moment, hence no interval."""

NORMAL_97_5 = 1.959963984540054


class ImageMoments(NamedTuple):
    """Moments of one estimator given x; every field is [image], nats^2 or nats^4."""

    mean: Float[Tensor, " image"]
    mean_variance: Float[Tensor, " image"]
    """Variance of `mean` over repetitions of the whole study."""
    variance: Float[Tensor, " image"]
    """Unbiased variance of one block."""
    variance_of_variance: Float[Tensor, " image"]
    """Jackknife variance of `variance` over groups."""
    fourth_cumulant: Float[Tensor, " image"]
    """Unbiased fourth cumulant of one block (Fisher's k4)."""
    squared_variance: Float[Tensor, " image"]
    """Unbiased estimate of the squared variance of one block."""


class PooledVariance(NamedTuple):
    """Variance given x, averaged over the images, with what is known about it."""

    variance: float
    standard_error: float
    low: float
    high: float
    excess_kurtosis: float
    between_images: float
    """Variance over images of the conditional mean, the Monte Carlo noise of those means taken off."""


def image_moments(blocks: Float[Tensor, "group position image"]) -> ImageMoments:
    """Moments over groups for each image, averaged over positions.

    Raises:
        ValueError: fewer than `MIN_GROUPS` groups.
    """
    groups = blocks.shape[0]
    if groups < MIN_GROUPS:
        raise ValueError(f"groups must be at least {MIN_GROUPS}, got {groups}")
    group_means = blocks.mean(1)
    squares = (blocks - blocks.mean(0)).square_()
    deviations = squares.mean(1)
    second = squares.mean(0)  # biased central moments [position, image]
    fourth = squares.square_().mean(0)
    n = groups
    variance = deviations.sum(0) / (n - 1)
    k2 = second * n / (n - 1)
    k4 = n**2 * ((n + 1) * fourth - 3 * (n - 1) * second.square()) / ((n - 1) * (n - 2) * (n - 3))
    # E k2^2 = sigma^4 + Var(k2), and Var(k2) = k4/n + 2 sigma^4/(n-1): solved for sigma^4 without bias.
    squared = (k2.square() - k4 / n) * (n - 1) / (n + 1)
    return ImageMoments(
        mean=group_means.mean(0),
        mean_variance=group_means.var(0) / n,
        variance=variance,
        variance_of_variance=_jackknife_variance(deviations),
        fourth_cumulant=k4.mean(0),
        squared_variance=squared.mean(0),
    )


def _jackknife_variance(deviations: Float[Tensor, "group image"]) -> Float[Tensor, " image"]:
    """Jackknife variance of a sample variance, from each group's mean squared deviation.

    Leaving group r out changes the sample variance linearly in its squared deviation, so the n leave-one-out values
    need no second pass.
    """
    n = deviations.shape[0]
    return (deviations - deviations.mean(0)).square().sum(0) * n / ((n - 1) * (n - 2) ** 2)


def pool(moments: ImageMoments) -> PooledVariance:
    """Average over the images, which are fixed: only Monte Carlo noise enters the standard error and the interval.

    The interval is on the log scale: a variance is positive, and its estimate is skewed.
    """
    images = moments.mean.numel()
    variance = float(moments.variance.mean())
    standard_error = math.sqrt(float(moments.variance_of_variance.sum())) / images
    low, high = log_interval(variance, standard_error)
    squared = float(moments.squared_variance.mean())
    between = float(moments.mean.var() - moments.mean_variance.mean()) if images > 1 else math.nan
    return PooledVariance(
        variance=variance,
        standard_error=standard_error,
        low=low,
        high=high,
        excess_kurtosis=float(moments.fourth_cumulant.mean()) / squared if squared > 0 else math.nan,
        between_images=max(between, 0.0) if images > 1 else math.nan,
    )


def log_interval(value: float, standard_error: float, quantile: float = NORMAL_97_5) -> tuple[float, float]:
    """exp(log value +- quantile * standard error / value); a value of exactly 0 is its own interval."""
    if not value > 0:
        return value, value
    half_width = quantile * standard_error / value
    return value * math.exp(-half_width), value * math.exp(min(half_width, 700.0))


def log_log_slope(
    deviations: dict[int, Float[Tensor, "group image"]],
) -> tuple[float, float]:
    """Least-squares slope of log Var against log L, and its standard error.

    The variances at all L come from the same draws, so they depend on each other. All are reduced to the same
    independent groups (`deviations[L]` holds the mean squared deviation of the blocks of L draws inside each group),
    and the slope, linear in those to first order, is jackknifed over groups as a whole.
    """
    lengths = sorted(deviations)
    if len(lengths) < 2:
        raise ValueError(f"a slope needs at least 2 values of num_samples, got {lengths}")
    groups, images = deviations[lengths[0]].shape
    variances = torch.stack([deviations[length].sum(0).mean() / (groups - 1) for length in lengths])
    if not bool((variances > 0).all()):
        return math.nan, math.nan
    log_length = torch.tensor([math.log(length) for length in lengths], dtype=variances.dtype)
    centred = log_length - log_length.mean()
    weights = centred / centred.square().sum()
    slope = float(weights @ variances.log())
    influence = torch.stack([deviations[length] for length in lengths])
    combined = torch.einsum("l,lgi->gi", weights / variances, influence)
    return slope, math.sqrt(float(_jackknife_variance(combined).sum())) / images


def group_deviations(blocks: Float[Tensor, "group position image"]) -> Float[Tensor, "group image"]:
    """Mean squared deviation of each group's blocks from the mean over all groups (what `log_log_slope` takes)."""
    return (blocks - blocks.mean(0)).square().mean(1)
