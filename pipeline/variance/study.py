"""The Monte Carlo variance study of a trained replicate: what an estimate of the bound costs in variance, and in time.

For fixed images, S draws z ~ q(z|x) per image are decoded once. Cut into disjoint blocks of L, the same draws give
S / L repetitions of every estimator at every L: variances given x come from the spread of block values, their errors
from the jackknife over independent blocks (`blocks` cuts them, `moments` sums them up).
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
from pipeline.probability.schemes.registry import SCHEMES
from pipeline.probability.schemes.scheme import SamplingScheme
from pipeline.variance.blocks import Block, estimates
from pipeline.variance.costs import Cost, draw_costs
from pipeline.variance.moments import ImageMoments, PooledVariance, group_deviations, image_moments, log_log_slope, pool
from pipeline.variance.quantities import PREDICTED

SLOPES = ("k1", "reconstruction", "elbo_monte_carlo")
"""Quantities whose slope of log Var against log L is a metric of the trial."""

TERMS_BYTES = 64 * 2**20
"""Most that the per-draw terms of a chunk of images may take; logits are bounded separately and never kept."""


class VarianceStudy(NamedTuple):
    """Rows of the table `variance` (without `trial` and `replicate`), and the scalars `variance.*`."""

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
    """
    rows: list[dict[str, Any]] = []
    metrics: dict[str, float] = {}
    images = images[: config.images]
    if len(images) == 0:
        return VarianceStudy(rows, metrics)
    for position, name in enumerate(config.sampling):
        scheme = SCHEMES[name]
        generator = torch.Generator(vae.device).manual_seed(sampling.replicate_seed(seed, position, "variance"))
        report = _fraction(progress, name, position, len(config.sampling))
        with torch.inference_mode():
            gathered = _study_scheme(vae, images, config, scheme, generator, report)
            costs = draw_costs(vae, images, name, sorted({block.draws for _, block in gathered}), generator)
        size = {"images": len(images), "draws": config.draws}
        for (quantity, block), results in gathered.items():
            rows.append(_row(quantity, block, name, results) | size | _cost(costs[block.draws], quantity))
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
        """The measured variance over all images."""
        return pool(ImageMoments(*(torch.cat(part) for part in zip(*self.moments, strict=True))))

    def prediction(self) -> float | None:
        """The closed form averaged over the images, nats^2; None where there is none."""
        parts = [part for part in self.predicted if part is not None]
        return float(torch.cat(parts).mean()) if parts else None


Estimates = dict[tuple[str, Block], Gathered]
"""By quantity and size, in the order of the table's rows."""


def _study_scheme(
    vae: VAE,
    images: Tensor,
    config: VarianceConfig,
    scheme: SamplingScheme,
    generator: torch.Generator,
    report: Callable[[float], None],
) -> Estimates:
    """Images pass in chunks, so that memory does not grow with them; moments are per image and pooled at the end."""
    group = scheme.group(max(config.num_samples))
    num_draws = config.draws // group * group
    gathered: Estimates = {}
    chunks = images.split(max(1, TERMS_BYTES // (8 * 8 * num_draws)))
    for index, x in enumerate(chunks):

        def of_chunk(fraction: float, index: int = index) -> None:
            report((index + fraction) / len(chunks))

        q, prior = vae.posterior(x), vae.prior()
        terms = draw_terms(vae, x, q, num_draws, generator, scheme=scheme.name, group=group, report=of_chunk)
        for quantity, block, blocks in estimates(terms, config, scheme, group):
            results = gathered.setdefault((quantity, block), Gathered())
            results.moments.append(image_moments(blocks))
            estimator = PREDICTED.get(quantity)
            results.predicted.append(
                predicted_variance(estimator, q, prior, scheme, block.num_samples) if estimator else None
            )
            positions, rest = divmod(max(config.num_samples), block.num_samples)
            if quantity in SLOPES and rest == 0:
                results.deviations.append(group_deviations(_regroup(blocks, positions)))
    return gathered


def _regroup(blocks: Tensor, positions: int) -> Tensor:
    """Blocks in order, `positions` to a group; those that fill no group are left out."""
    flat = blocks.flatten(0, 1)
    groups = len(flat) // positions
    return flat[: groups * positions].view(groups, positions, -1)


# --- rows and scalars -----------------------------------------------------------------------------------------------


def _row(quantity: str, block: Block, scheme: str, results: Gathered) -> dict[str, Any]:
    """The row's statistics; what is not a number is null."""
    pooled = {name: value if math.isfinite(value) else None for name, value in results.pooled()._asdict().items()}
    predicted = results.prediction()
    return {
        "quantity": quantity,
        "sampling": scheme,
        "num_samples": block.num_samples,
        "num_importance_samples": block.num_importance_samples,
        **pooled,
        "predicted": predicted,
        "infinite": predicted == math.inf,  # JSON has no word for it
    }


def _cost(cost: Cost, quantity: str) -> dict[str, Any]:
    return {"seconds": cost.of(quantity), "peak_memory_mib": cost.peak_memory_mib}


def _scheme_metrics(gathered: Estimates, scheme: SamplingScheme) -> dict[str, float]:
    """Slopes for every scheme (the suffix names it, unless draws are independent); for independent draws also one-draw
    variances and `variance.k1_ratio`, measured over predicted, which must be 1."""
    suffix = "" if scheme.independent else f"_{scheme.name}"
    metrics = {}
    for quantity in SLOPES:
        slope, standard_error = _slope(gathered, quantity, scheme)
        if math.isfinite(slope):
            metrics[f"variance.{quantity}_slope{suffix}"] = slope
            metrics[f"variance.{quantity}_slope{suffix}.standard_error"] = standard_error
    for (quantity, block), results in gathered.items():
        if not scheme.independent or block != Block(1):
            continue
        pooled, predicted = results.pooled(), results.prediction()
        if predicted == math.inf:  # nothing that a sample could estimate
            continue
        metrics[f"variance.{quantity}"] = pooled.variance
        metrics[f"variance.{quantity}.standard_error"] = pooled.standard_error
        if quantity == "k1" and predicted:
            metrics["variance.k1_ratio"] = pooled.variance / predicted
            metrics["variance.k1_ratio.standard_error"] = pooled.standard_error / predicted
    return metrics


def _slope(gathered: Estimates, quantity: str, scheme: SamplingScheme) -> tuple[float, float]:
    """Of log Var against log L, where the scheme has L draws; NaN without two values of L."""
    deviations = {
        block.num_samples: torch.cat(results.deviations, 1)
        for (name, block), results in gathered.items()
        if name == quantity and results.deviations and scheme.allows(block.num_samples)
    }
    return log_log_slope(deviations) if len(deviations) > 1 else (math.nan, math.nan)


def _fraction(progress: Progress | None, scheme: str, position: int, total: int) -> Callable[[float], None]:
    def report(fraction: float) -> None:
        if progress is not None:
            progress(f"variance {scheme}", (position + fraction) / total)

    return report
