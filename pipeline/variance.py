"""The Monte Carlo variance study of a trained replicate: what one estimate of the bound costs in variance, and in time.

For fixed images, S draws z ~ q(z|x) per image are decoded once. Cut into disjoint blocks of L, the same draws give S / L
repetitions of every estimator at every L: variances given x come from the spread of block values, their errors from the
jackknife over independent blocks (`block_moments`).

Blocks must be what the sampling scheme would give for L draws. Independent draws and antithetic pairs can be cut
anywhere (between pairs). Sobol draws come as independently randomised nets of max(L) points: an aligned block of 2^k
points of such a net is itself a randomised net of 2^k points, but the blocks of one net depend on each other, so only
different nets count as independent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.distributions import Distribution, kl_divergence

from pipeline import sampling
from pipeline.block_moments import (
    MIN_GROUPS,
    ImageMoments,
    PooledVariance,
    group_deviations,
    image_moments,
    log_log_slope,
    pool,
)
from pipeline.config import ConfigError, VarianceConfig
from pipeline.costs import Cost, draw_costs
from pipeline.distributions import reparameterise
from pipeline.predicted_variance import predicted_variance
from pipeline.vae import MAX_DECODES, VAE

Progress = Callable[[str, float], None]

QUANTITIES = (
    "k1",
    "k3",
    "cross_entropy",
    "reconstruction",
    "elbo_closed_form",
    "elbo_monte_carlo",
    "elbo_control_variate",
)
SLOPES = ("k1", "reconstruction", "elbo_monte_carlo")

TERMS_BYTES = 64 * 2**20
"""Most that the per-draw terms of a chunk of images may take; logits are bounded separately and never kept."""


class VarianceStudy(NamedTuple):
    rows: list[dict[str, Any]]
    metrics: dict[str, float]


class DrawTerms(NamedTuple):
    """What is kept of each draw: three log-densities, float64; and of each image, two closed forms (None: there is none)."""

    log_px_z: Float[Tensor, "sample image"]
    log_pz: Float[Tensor, "sample image"]
    log_qz_x: Float[Tensor, "sample image"]
    kl: Float[Tensor, " image"] | None
    entropy: Float[Tensor, " image"] | None


class Block(NamedTuple):
    """One estimator's size: L outer draws, each of K inner ones (None: no logarithm of a mean)."""

    num_samples: int
    num_importance_samples: int | None = None

    @property
    def draws(self) -> int:
        return self.num_samples * (self.num_importance_samples or 1)


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

    Raises:
        ConfigError: a value of L that a scheme cannot give, or that does not fit `MIN_GROUPS` times into the draws.
    """
    check(config)
    rows: list[dict[str, Any]] = []
    metrics: dict[str, float] = {}
    images = images[: config.images]
    if len(images) == 0:
        return VarianceStudy(rows, metrics)
    for position, scheme in enumerate(config.sampling):
        generator = torch.Generator(vae.device).manual_seed(
            sampling.replicate_seed(seed, position, f"variance.{scheme}")
        )
        report = _fraction(progress, scheme, position, len(config.sampling))
        result = _study_scheme(vae, images, config, scheme, generator, report)
        costs = draw_costs(vae, images, scheme, sorted({row.block.draws for row in result.estimates}), generator)
        rows += [_row(row, scheme, costs[row.block.draws], images, config) for row in result.estimates]
        metrics |= _scheme_metrics(result, scheme)
    return VarianceStudy(rows, metrics)


def check(config: VarianceConfig) -> None:
    """Raises ConfigError for a value of L that cannot be studied."""
    largest = max(config.num_samples)
    if config.images and largest * MIN_GROUPS > config.draws:
        raise ConfigError(
            f"variance.draws must be at least {MIN_GROUPS} times the largest of variance.num_samples ({largest}), "
            f"got {config.draws}"
        )
    for length in config.num_samples:
        if "sobol" in config.sampling and length & (length - 1):
            raise ConfigError(f"variance.num_samples must be powers of two with sampling 'sobol', got {length}")
        if "antithetic" in config.sampling and length > 1 and length % 2:
            raise ConfigError(f"variance.num_samples must be 1 or even with sampling 'antithetic', got {length}")


# --- one sampling scheme --------------------------------------------------------------------------------------------


class Estimate(NamedTuple):
    quantity: str
    block: Block
    pooled: PooledVariance
    predicted: float | None


class SchemeResult(NamedTuple):
    estimates: list[Estimate]
    slopes: dict[str, tuple[float, float]]


def _study_scheme(
    vae: VAE,
    images: Tensor,
    config: VarianceConfig,
    scheme: sampling.Scheme,
    generator: torch.Generator,
    report: Callable[[float], None],
) -> SchemeResult:
    """Images pass in chunks, so that memory does not grow with them; moments are per image and pooled at the end."""
    group = group_length(scheme, config)
    chunk = max(1, TERMS_BYTES // (8 * 8 * config.draws))
    moments: dict[tuple[str, Block], list[ImageMoments]] = {}
    predicted: dict[tuple[str, Block], list[Tensor | None]] = {}
    deviations: dict[str, dict[int, list[Tensor]]] = {}
    for start in range(0, len(images), chunk):
        x = images[start : start + chunk]
        with torch.inference_mode():
            q, prior = vae.posterior(x), vae.prior()
            terms = draw_terms(vae, x, q, prior, scheme, config.draws, group, generator, report)
            for quantity, block, blocks in estimates(terms, config, scheme, group):
                moments.setdefault((quantity, block), []).append(image_moments(blocks))
                predicted.setdefault((quantity, block), []).append(
                    predicted_variance(quantity, q, prior, scheme, block.num_samples)
                )
                if quantity in SLOPES and max(config.num_samples) % block.num_samples == 0:
                    spread = group_deviations(_regroup(blocks, max(config.num_samples) // block.num_samples))
                    deviations.setdefault(quantity, {}).setdefault(block.num_samples, []).append(spread)
        report((start + len(x)) / len(images))
    return SchemeResult(
        [
            Estimate(quantity, block, pool(_joined(moments[quantity, block])), _mean(predicted[quantity, block]))
            for quantity, block in moments
        ],
        {
            quantity: log_log_slope({length: torch.cat(parts, 1) for length, parts in by_length.items()})
            for quantity, by_length in deviations.items()
            if len(by_length) > 1
        },
    )


def group_length(scheme: sampling.Scheme, config: VarianceConfig) -> int:
    """Draws that depend on each other: 1 independent draw, 2 of an antithetic pair, the net of the largest L."""
    return {"iid": 1, "antithetic": 2, "sobol": max(config.num_samples)}[scheme]


def draw_terms(
    vae: VAE,
    x: Tensor,
    q: Distribution,
    prior: Distribution,
    scheme: sampling.Scheme,
    num_draws: int,
    group: int,
    generator: torch.Generator,
    report: Callable[[float], None] | None = None,
) -> DrawTerms:
    """All draws of a chunk of images, each decoded exactly once, in groups that are independent of each other."""
    batch, dim = len(x), vae.latent_dim
    per_chunk = max(1, MAX_DECODES // (batch * group))
    parts: list[tuple[Tensor, Tensor, Tensor]] = []
    total = num_draws // group
    for start in range(0, total, per_chunk):
        groups = min(per_chunk, total - start)
        noise = sampling.draw(
            scheme, group, groups * batch, dim, generator=generator, dtype=vae.dtype, device=vae.device
        )
        # [group, groups * batch, dim] -> sample axis ordered group by group, as the blocks expect it.
        noise = noise.view(group, groups, batch, dim).transpose(0, 1).reshape(groups * group, batch, dim)
        z = reparameterise(q, noise)
        log_densities = vae.log_px_z(x, z), prior.log_prob(z), q.log_prob(z)
        parts.append(tuple(value.double() for value in log_densities))  # type: ignore[arg-type]
    log_px_z, log_pz, log_qz_x = (torch.cat(part) for part in zip(*parts))
    return DrawTerms(log_px_z, log_pz, log_qz_x, _closed(kl_divergence, q, prior), _closed(Distribution.entropy, q))


def _closed(function: Callable[..., Tensor], *arguments: Distribution) -> Tensor | None:
    """A closed form in float64, or None where torch.distributions has none."""
    try:
        return function(*arguments).double()
    except NotImplementedError:
        return None


# --- estimators at every L ------------------------------------------------------------------------------------------


def estimates(
    terms: DrawTerms, config: VarianceConfig, scheme: sampling.Scheme, group: int
) -> Iterator[tuple[str, Block, Float[Tensor, "group position image"]]]:
    """Every estimator's values, block by block."""
    log_weights = terms.log_px_z + terms.log_pz - terms.log_qz_x
    k1 = terms.log_qz_x - terms.log_pz
    per_draw = {
        "k1": k1,
        "k3": torch.expm1(-k1) + k1,
        "reconstruction": -terms.log_px_z,
        "elbo_monte_carlo": log_weights,
    }
    if terms.entropy is not None:
        per_draw["cross_entropy"] = -terms.entropy - terms.log_pz
    if terms.kl is not None:
        per_draw["elbo_closed_form"] = terms.log_px_z - terms.kl
    for length in config.num_samples:
        block = Block(length)
        means = {name: in_blocks(values, block, group) for name, values in per_draw.items()}
        if terms.kl is not None:
            means["elbo_control_variate"] = control_variate(means["elbo_closed_form"], terms.kl - means["k1"])
        yield from ((name, block, means[name]) for name in QUANTITIES if name in means)
    for inner in config.num_importance_samples:
        for length in config.num_samples:
            block = Block(length, inner)
            if fits(block, scheme, config):
                yield "iwae", block, in_blocks(log_weights, block, group)


def fits(block: Block, scheme: sampling.Scheme, config: VarianceConfig) -> bool:
    """Whether L * K draws fit into the study often enough; with Sobol draws, into one net."""
    if scheme == "sobol":
        return max(config.num_samples) % block.draws == 0
    return block.draws * MIN_GROUPS <= config.draws and (scheme == "iid" or block.draws == 1 or block.draws % 2 == 0)


def in_blocks(values: Float[Tensor, "sample image"], block: Block, group: int) -> Float[Tensor, "group position image"]:
    """Disjoint blocks, arranged by independent group: means over L, of log-mean-exps over K where the block has them."""
    span = math.lcm(block.draws, group)
    groups = values.shape[0] // span
    cut = values[: groups * span].view(groups, span // block.draws, block.num_samples, -1, values.shape[1])
    if block.num_importance_samples is None:
        return cut.mean((2, 3))
    return (cut.logsumexp(3) - math.log(block.num_importance_samples)).mean(2)


def control_variate(
    bound: Float[Tensor, "group position image"], control: Float[Tensor, "group position image"]
) -> Float[Tensor, "group position image"]:
    """bound + c * control with the one c, shared by the images, that minimises the variance given x.

    The control has expectation 0: closed-form KL minus its k1 estimate. c is fitted on the even groups for the odd ones
    and the other way round, so no value depends on its own coefficient and the mean stays unbiased.
    """
    result = torch.empty_like(bound)
    for target in (0, 1):
        fit_bound, fit_control = (value[1 - target :: 2] for value in (bound, control))
        fit_bound, fit_control = fit_bound - fit_bound.mean(0), fit_control - fit_control.mean(0)
        spread = fit_control.square().sum()
        coefficient = -(fit_bound * fit_control).sum() / spread if spread > 0 else torch.zeros_like(spread)
        result[target::2] = bound[target::2] + coefficient * control[target::2]
    return result


def _regroup(blocks: Tensor, positions: int) -> Tensor:
    """Blocks in order, `positions` to a group; those that fill no group are left out."""
    flat = blocks.flatten(0, 1)
    groups = len(flat) // positions
    return flat[: groups * positions].view(groups, positions, -1)


# --- rows and scalars -----------------------------------------------------------------------------------------------


def _row(
    estimate: Estimate, scheme: sampling.Scheme, cost: Cost, images: Tensor, config: VarianceConfig
) -> dict[str, Any]:
    return {
        "quantity": estimate.quantity,
        "sampling": scheme,
        "num_samples": estimate.block.num_samples,
        "num_importance_samples": estimate.block.num_importance_samples,
        **{name: _finite(value) for name, value in estimate.pooled._asdict().items()},
        "predicted": estimate.predicted,
        "images": len(images),
        "draws": config.draws,
        "seconds": cost.of(estimate.quantity),
        "peak_memory_mib": cost.peak_memory_mib,
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _scheme_metrics(result: SchemeResult, scheme: sampling.Scheme) -> dict[str, float]:
    """`variance.k1_ratio` (measured over predicted, must be 1), one-draw variances and slopes.

    Independent draws name no scheme; the others' slopes carry theirs as a suffix.
    """
    suffix = "" if scheme == "iid" else f"_{scheme}"
    metrics = {}
    for quantity, (slope, standard_error) in result.slopes.items():
        if math.isfinite(slope):
            metrics[f"variance.{quantity}_slope{suffix}"] = slope
            metrics[f"variance.{quantity}_slope{suffix}.standard_error"] = standard_error
    for quantity, block, pooled, predicted in result.estimates:
        if scheme != "iid" or block != Block(1):
            continue
        metrics[f"variance.{quantity}"] = pooled.variance
        metrics[f"variance.{quantity}.standard_error"] = pooled.standard_error
        if quantity == "k1" and predicted:
            metrics["variance.k1_ratio"] = pooled.variance / predicted
            metrics["variance.k1_ratio.standard_error"] = pooled.standard_error / predicted
    return metrics


def _joined(parts: list[ImageMoments]) -> ImageMoments:
    return ImageMoments(*(torch.cat(field) for field in zip(*parts)))


def _mean(parts: list[Tensor | None]) -> float | None:
    present = [part for part in parts if part is not None]
    return float(torch.cat(present).mean()) if len(present) == len(parts) else None


def _fraction(progress: Progress | None, scheme: sampling.Scheme, position: int, total: int) -> Callable[[float], None]:
    def report(fraction: float) -> None:
        if progress is not None:
            progress(f"variance {scheme}", (position + fraction) / total)

    return report
