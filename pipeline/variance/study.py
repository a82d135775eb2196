"""The Monte Carlo variance study of a trained replicate: what an estimate of the bound costs in variance, and in time.

For fixed images, S draws z ~ q(z|x) per image are decoded once. Cut into disjoint blocks of L, the same draws give
S / L repetitions of every estimator at every L: variances given x come from the spread of block values, their errors
from the jackknife over independent blocks (`block_estimates` cuts them, `block_moments` sums them up).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from pipeline.config import VarianceConfig
from pipeline.model.draws import Progress, draw_terms
from pipeline.model.vae import VAE
from pipeline.probability import sampling
from pipeline.probability.predicted_variance import predicted_variance
from pipeline.variance.blocks import Block, estimates, group_length
from pipeline.variance.costs import Cost, draw_costs
from pipeline.variance.moments import ImageMoments, PooledVariance, group_deviations, image_moments, log_log_slope, pool

SLOPES = ("k1", "reconstruction", "elbo_monte_carlo")

TERMS_BYTES = 64 * 2**20
"""Most that the per-draw terms of a chunk of images may take; logits are bounded separately and never kept."""


class VarianceStudy(NamedTuple):
    rows: list[dict[str, Any]]
    metrics: dict[str, float]


def study(
    vae: VAE,
    images: UInt8[Tensor, "image height width"],
    config: VarianceConfig,
    *,
    seed: int,
    progress: Progress | None = None,
) -> VarianceStudy:
    """Variance given x of every estimator at every L, for every sampling scheme.

    Args:
        vae: the trained model.
        images: held-out images; the first `config.images` are studied.
        seed: of the draws.
        progress: called with the sampling scheme and the finished fraction of the whole study.

    Returns:
        rows of the `variance` table (without `trial` and `replicate`), and the scalars `variance.*`.
    """
    rows: list[dict[str, Any]] = []
    metrics: dict[str, float] = {}
    images = images[: config.images]
    if len(images) == 0:
        return VarianceStudy(rows, metrics)
    for position, scheme in enumerate(config.sampling):
        generator = torch.Generator(vae.device).manual_seed(sampling.replicate_seed(seed, position, "variance"))
        report = _fraction(progress, scheme, position, len(config.sampling))
        with torch.inference_mode():
            gathered = _study_scheme(vae, images, config, scheme, generator, report)
            costs = draw_costs(vae, images, scheme, sorted({block.draws for _, block in gathered}), generator)
        for (quantity, block), found in gathered.items():
            size = {"images": len(images), "draws": config.draws}
            rows.append(_row(quantity, block, scheme, found) | size | _cost(costs[block.draws], quantity))
        metrics |= _scheme_metrics(gathered, scheme)
    return VarianceStudy(rows, metrics)


# --- one sampling scheme --------------------------------------------------------------------------------------------


@dataclass
class Gathered:
    """One estimator at one size: per-image results, chunk by chunk of images."""

    moments: list[ImageMoments] = field(default_factory=list)
    predicted: list[Float[Tensor, " image"] | None] = field(default_factory=list)
    deviations: list[Float[Tensor, "group image"]] = field(default_factory=list)
    """In groups of max(L) draws whatever the L, for the slope."""

    def pooled(self) -> PooledVariance:
        return pool(ImageMoments(*(torch.cat(part) for part in zip(*self.moments, strict=True))))

    def prediction(self) -> float | None:
        known = [part for part in self.predicted if part is not None]
        return float(torch.cat(known).mean()) if known else None


Estimates = dict[tuple[str, Block], Gathered]


def _study_scheme(
    vae: VAE,
    images: Tensor,
    config: VarianceConfig,
    scheme: sampling.Scheme,
    generator: torch.Generator,
    report: Callable[[float], None],
) -> Estimates:
    """Images pass in chunks, so that memory does not grow with them; moments are per image and pooled at the end."""
    group = group_length(scheme, config)
    num_draws = config.draws // group * group
    largest = max(config.num_samples)
    gathered: Estimates = {}
    parts = images.split(max(1, TERMS_BYTES // (8 * 8 * num_draws)))
    for index, x in enumerate(parts):

        def part(fraction: float, index: int = index) -> None:
            report((index + fraction) / len(parts))

        q, prior = vae.posterior(x), vae.prior()
        terms = draw_terms(vae, x, q, num_draws, generator, scheme=scheme, group=group, report=part)
        for quantity, block, blocks in estimates(terms, config, scheme, group):
            found = gathered.setdefault((quantity, block), Gathered())
            found.moments.append(image_moments(blocks))
            found.predicted.append(predicted_variance(quantity, q, prior, scheme, block.num_samples))
            if quantity in SLOPES and largest % block.num_samples == 0:
                found.deviations.append(group_deviations(_regroup(blocks, largest // block.num_samples)))
    return gathered


def _regroup(blocks: Tensor, positions: int) -> Tensor:
    """Blocks in order, `positions` to a group; those that fill no group are left out."""
    flat = blocks.flatten(0, 1)
    groups = len(flat) // positions
    return flat[: groups * positions].view(groups, positions, -1)


# --- rows and scalars -----------------------------------------------------------------------------------------------


def _row(quantity: str, block: Block, scheme: str, found: Gathered) -> dict[str, Any]:
    pooled = {name: value if math.isfinite(value) else None for name, value in found.pooled()._asdict().items()}
    return {
        "quantity": quantity,
        "sampling": scheme,
        "num_samples": block.num_samples,
        "num_importance_samples": block.num_importance_samples,
        **pooled,
        "predicted": (predicted := found.prediction()),
        "infinite": predicted == math.inf,  # JSON has no word for it
    }


def _cost(cost: Cost, quantity: str) -> dict[str, Any]:
    return {"seconds": cost.of(quantity), "peak_memory_mib": cost.peak_memory_mib}


def _scheme_metrics(gathered: Estimates, scheme: str) -> dict[str, float]:
    """Slopes for every scheme (the suffix names it, unless draws are independent); for `iid` also one-draw variances
    and `variance.k1_ratio`, measured over predicted, which must be 1."""
    suffix = "" if scheme == "iid" else f"_{scheme}"
    metrics = {}
    for quantity in SLOPES:
        slope, standard_error = _slope(gathered, quantity, scheme)
        if math.isfinite(slope):
            metrics[f"variance.{quantity}_slope{suffix}"] = slope
            metrics[f"variance.{quantity}_slope{suffix}.standard_error"] = standard_error
    for (quantity, block), found in gathered.items():
        if scheme != "iid" or block != Block(1):
            continue
        pooled, predicted = found.pooled(), found.prediction()
        if predicted == math.inf:  # nothing that a sample could estimate
            continue
        metrics[f"variance.{quantity}"] = pooled.variance
        metrics[f"variance.{quantity}.standard_error"] = pooled.standard_error
        if quantity == "k1" and predicted:
            metrics["variance.k1_ratio"] = pooled.variance / predicted
            metrics["variance.k1_ratio.standard_error"] = pooled.standard_error / predicted
    return metrics


def _slope(gathered: Estimates, quantity: str, scheme: str) -> tuple[float, float]:
    """Of log Var against log L; antithetic draws from L = 2, where there is a pair. NaN without two values of L."""
    deviations = {
        block.num_samples: torch.cat(found.deviations, 1)
        for (name, block), found in gathered.items()
        if name == quantity and found.deviations and (scheme != "antithetic" or block.num_samples > 1)
    }
    return log_log_slope(deviations) if len(deviations) > 1 else (math.nan, math.nan)


def _fraction(progress: Progress | None, scheme: sampling.Scheme, position: int, total: int) -> Callable[[float], None]:
    def report(fraction: float) -> None:
        if progress is not None:
            progress(f"variance {scheme}", (position + fraction) / total)

    return report
