"""The bound ladder: ELBO <= IWAE-K <= IWAE-K' <= log p(x) for K < K', and the test that it stands.

Rungs are measured per image, so neighbours are compared by their paired differences: a ladder that is broken by more
than Monte Carlo noise means that a number is wrong (a bad closed form, a density that does not match its draws, chains
that did not mix), never that the model is bad.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

import torch
from jaxtyping import Float
from scipy import stats
from torch import Tensor

from pipeline.model.draws import DrawTerms
from pipeline.probability.bounds import iwae_bound

P_VALUE = 1e-6
"""Of one comparison, one-sided: about 4.75 standard errors, so a false alarm in a sweep of thousands stays unlikely."""


class Comparison(NamedTuple):
    """A pair of rungs, one of which must not exceed the other in expectation."""

    lower: str
    upper: str
    equal: bool = False
    """Both have the same expectation."""


def per_image(terms: DrawTerms, num_samples: int, num_importance_samples: Iterable[int]) -> dict[str, Tensor]:
    """Compute every rung for every image, [image], in nats.

    The ELBO and its terms are averages over the first `num_samples` draws. The K-sample bound is averaged over all
    disjoint blocks of K draws that there are: the same expectation as one block, less noise.
    """
    log_px_z, log_weights = terms.log_px_z[:num_samples], terms.log_weights
    reconstruction = -log_px_z.mean(0)
    kl_monte_carlo = (terms.log_qz_x - terms.log_pz)[:num_samples].mean(0)
    kl = kl_monte_carlo if terms.kl is None else terms.kl
    rungs = {
        "reconstruction": reconstruction,
        "kl": kl,
        "kl_monte_carlo": kl_monte_carlo,
        "elbo": -reconstruction - kl,
        "elbo_monte_carlo": -reconstruction - kl_monte_carlo,
    }
    for inner in num_importance_samples:
        rungs[f"iwae_{inner}"] = importance_blocks(log_weights, inner).mean(0)
    return rungs


def importance_blocks(
    log_weights: Float[Tensor, "sample image"], num_importance_samples: int
) -> Float[Tensor, "block image"]:
    """The K-sample bound on each of the whole blocks of K draws."""
    whole = len(log_weights) // num_importance_samples * num_importance_samples
    return iwae_bound(log_weights[:whole], num_importance_samples)


def comparisons(num_importance_samples: Iterable[int]) -> list[Comparison]:
    """List which rungs must stand below which."""
    names = [f"iwae_{inner}" for inner in sorted(set(num_importance_samples))]
    rungs = ["elbo", *names]
    return [
        Comparison("elbo_monte_carlo", "elbo", equal=True),
        *(Comparison(lower, upper) for lower, upper in pairwise(rungs)),
    ]


def violations(rungs: dict[str, Float[Tensor, " image"]], pairs: Iterable[Comparison]) -> list[str]:
    """List reasons to doubt the numbers, one line each; empty for a sound ladder."""
    reasons = [
        f"{name} is not finite on {int((~value.isfinite()).sum())} of {value.numel()} images"
        for name, value in rungs.items()
        if not bool(value.isfinite().all())
    ]
    if reasons:
        return reasons
    for lower, upper, equal in pairs:
        difference = (rungs[upper] - rungs[lower]).double()
        mean, standard_error = mean_over_images(difference)
        if not _contradicts(mean, standard_error, difference.numel(), rungs[upper], equal):
            continue
        rule = f"{lower} must equal {upper}" if equal else f"{lower} must not exceed {upper}"
        reasons.append(
            f"{rule} in expectation, but their mean difference over {difference.numel()} images is "
            f"{-mean:+.4g} +- {standard_error:.2g} nats"
        )
    return reasons


def _contradicts(mean: float, standard_error: float, images: int, scale: Tensor, equal: bool) -> bool:
    """Whether a t test on the paired differences contradicts the order; what float32 rounding explains does not."""
    rounding = 16 * torch.finfo(torch.float32).eps * float(scale.abs().mean())
    distance = abs(mean) if equal else -mean
    if images < 2 or distance <= rounding:
        return False
    if standard_error == 0:
        return True
    return float(stats.t.sf(distance / standard_error, images - 1)) < P_VALUE


def mean_over_images(values: Float[Tensor, " image"]) -> tuple[float, float]:
    """Mean over images and its standard error (NaN for one image)."""
    values = values.double()
    error = float(values.std()) / math.sqrt(values.numel()) if values.numel() > 1 else math.nan
    return float(values.mean()), error
