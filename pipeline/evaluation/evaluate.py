"""The evaluation of a trained replicate on held-out images: the bound ladder, where the bound is lost, what z carries.

Everything is in nats per image unless its name says otherwise, with a standard error over images. Rungs share their
draws, each decoded once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from pipeline.config import EvaluationConfig
from pipeline.evaluation import annealing, ladder, latent_space, prior_study
from pipeline.evaluation import gaps as local_posterior
from pipeline.evaluation.summary import bits, means, pareto
from pipeline.model.draws import Progress, draw_terms
from pipeline.model.vae import MAX_DECODES, VAE
from pipeline.probability import sampling
from pipeline.probability.bounds import log_mean_exp
from pipeline.probability.diagnostics import effective_sample_size, pareto_k

Rungs = dict[str, Float[Tensor, " image"]]

MAX_TERMS = 2**20
"""Draws of a chunk of images whose log-densities are held at once (24 MiB)."""
GAP_DRAWS = 512
"""Draws per image behind each ELBO and log p(x) of the gaps, at least."""
GAP_CHUNK = 64
"""Images whose q is optimised together."""
REFERENCE_DRAWS = 4096
"""Importance samples behind the reference of the prior Monte Carlo study, at least."""
TAIL_IMAGES = 256
"""Images whose weights' tail is fitted (Pareto k), at most."""


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation gives: scalars, rows of a table, and doubts."""

    metrics: dict[str, float]
    """Means over images, and `NAME.standard_error`."""
    evidence_rows: list[dict[str, Any]] = field(default_factory=list)
    """The `evidence` table: estimates of log p(x) of single images, by number of draws."""
    suspect: list[str] = field(default_factory=list)
    """Reasons to doubt the numbers."""


@dataclass(frozen=True)
class Context:
    """What every part of the evaluation needs."""

    vae: VAE
    images: UInt8[Tensor, "image height width"]
    config: EvaluationConfig
    seed: int
    progress: Progress

    def generator(self, part: str) -> torch.Generator:
        """One stream for each part: no part's size changes another part's numbers."""
        return torch.Generator(self.vae.device).manual_seed(sampling.replicate_seed(self.seed, 0, part))

    @property
    def largest_inner(self) -> int:
        return max(self.config.num_importance_samples)


def evaluate(
    vae: VAE,
    images: UInt8[Tensor, "image height width"],
    config: EvaluationConfig,
    *,
    seed: int,
    progress: Progress | None = None,
) -> Evaluation:
    """Measure a trained model on images that it was not trained on.

    Args:
        vae: the trained model.
        images: held-out images.
        config: sizes; parts of size 0 are left out.
        seed: of all draws.
        progress: called with a part's name and its finished fraction.
    """
    context = Context(vae, images[: config.max_images], config, seed, progress or (lambda part, fraction: None))
    with torch.no_grad():
        measured = _ladder(context)
        rungs = measured.rungs
        suspect = ladder.violations(rungs, ladder.comparisons(config.num_importance_samples))
        metrics, carried = _latent_space(context)
        annealed = _annealed(context)
        # AIS from q and IWAE-K are both lower bounds: neither must exceed the other, so no comparison is made.
        bounds = rungs if annealed is None else rungs | {"ais": annealed}
        gaps, impossible = _gaps(context, annealed)
        rows, prior = _evidence(context, measured, annealed)
        summary = means(bounds | measured.tails | carried | gaps | prior)
        metrics |= summary.metrics | bits(bounds, vae.num_pixels) | pareto(measured.pareto_k)
    return Evaluation(metrics, rows, list(dict.fromkeys([*suspect, *impossible, *summary.reasons])))


# --- the bound ladder -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Measured:
    """The ladder's values, image by image."""

    rungs: Rungs
    spreads: dict[int, Tensor]
    """Standard deviation of the K-sample bound over blocks of K draws, by K; only where there are two blocks."""
    tails: Rungs
    """Effective sample size of the importance weights of the largest K."""
    pareto_k: Float[Tensor, " tail_image"]
    """Shape of the tail of these weights; NaN where there is none to fit."""


def _ladder(context: Context) -> Measured:
    """Measure all rungs, in chunks of images: neither their number nor that of the draws raises the memory needed."""
    vae, config = context.vae, context.config
    inner = sorted(set(config.num_importance_samples))
    num_draws = max(config.num_samples, context.largest_inner)
    generator = context.generator("ladder")
    rungs: dict[str, list[Tensor]] = {}
    spreads: dict[int, list[Tensor]] = {}
    shapes: list[Tensor] = []
    sizes: list[Tensor] = []
    done = 0
    for x in context.images.split(max(1, min(MAX_DECODES, MAX_TERMS // num_draws))):
        terms = draw_terms(vae, x, vae.posterior(x), num_draws, generator)
        for name, value in ladder.per_image(terms, config.num_samples, inner).items():
            rungs.setdefault(name, []).append(value)
        for size in inner:
            if num_draws >= 2 * size:
                spreads.setdefault(size, []).append(ladder.importance_blocks(terms.log_weights, size).std(0))
        if done < TAIL_IMAGES:
            log_weights = terms.log_weights[: context.largest_inner, : TAIL_IMAGES - done]
            shapes.append(pareto_k(log_weights))
            sizes.append(effective_sample_size(log_weights))
        done += len(x)
        context.progress("bound ladder", done / len(context.images))
    return Measured(
        {name: torch.cat(parts) for name, parts in rungs.items()},
        {size: torch.cat(parts) for size, parts in spreads.items()},
        {"effective_sample_size": torch.cat(sizes)},
        torch.cat(shapes),
    )


def _annealed(context: Context) -> Float[Tensor, " image"] | None:
    """Estimate log p(x) of the first `ais_images` images by annealed importance sampling, from q(z|x)."""
    vae, config = context.vae, context.config
    if config.ais_images == 0:
        return None
    generator = context.generator("ais")
    images = context.images[: config.ais_images]
    values: list[Tensor] = []
    for x in images.split(max(1, MAX_DECODES // config.ais_chains)):
        path = annealing.from_posterior(vae, x, generator, num_temperatures=config.ais_temperatures)
        values.append(annealing.ais(path, config.ais_chains, generator).value.double())
        context.progress("annealed importance sampling", sum(map(len, values)) / len(images))
    return torch.cat(values)


# --- where the bound is lost, what z carries ------------------------------------------------------------------------


def _gaps(context: Context, annealed: Tensor | None) -> tuple[Rungs, list[str]]:
    """Measure the approximation and the amortisation gap of the first `gap_images` images; and what contradicts them.

    log p(x) is the best bound at hand, by its mean: importance weighting from q or from q*, or AIS where it was run on
    all these images. A better one would only widen the approximation gap. q and q* share their noise.
    """
    vae, config = context.vae, context.config
    generator = context.generator("gaps")
    num_draws = max(GAP_DRAWS, context.largest_inner, config.num_samples)
    parts: dict[str, list[Tensor]] = {}
    images = context.images[: config.gap_images]
    for x in images.split(GAP_CHUNK) if len(images) else ():
        best = local_posterior.optimise(vae, x, config.gap_steps, generator)
        noise = generator.get_state()
        for name, q in (("amortised", vae.posterior(x)), ("local", best)):
            generator.set_state(noise)
            log_weights = draw_terms(vae, x, q, num_draws, generator).log_weights
            parts.setdefault(f"{name} elbo", []).append(log_weights.mean(0))
            parts.setdefault(f"{name} log p", []).append(log_mean_exp(log_weights))
        context.progress("gaps", len(torch.cat(parts["local elbo"])) / len(images))
    if not parts:
        return {}, []
    value = {name: torch.cat(part) for name, part in parts.items()}
    candidates = [value["amortised log p"], value["local log p"]]
    if annealed is not None and len(annealed) >= len(images):
        candidates.append(annealed[: len(images)])
    log_px = _best(candidates)
    elbos = {"elbo of q": value["amortised elbo"], "elbo of the optimised q": value["local elbo"]}
    impossible = ladder.violations(elbos, [ladder.Comparison("elbo of q", "elbo of the optimised q")])
    return {
        "approximation_gap": log_px - value["local elbo"],
        "amortisation_gap": value["local elbo"] - value["amortised elbo"],
    }, impossible


def _latent_space(context: Context) -> tuple[dict[str, float], Rungs]:
    """Counts and caps, which are no means over images, and what is one."""
    if len(context.images) < 2:
        return {}, {}
    carried = latent_space.measure(context.vae, context.images, context.generator("latent space"))
    context.progress("latent space", 1.0)
    counts = {
        "active_units": float(carried.active_units),
        "mutual_information_cap": carried.mutual_information_cap,
    }
    return counts, carried.values


# --- log p(x) of single images, by number of draws ------------------------------------------------------------------


def _evidence(context: Context, measured: Measured, annealed: Tensor | None) -> tuple[list[dict[str, Any]], Rungs]:
    """Compare prior Monte Carlo with importance weighting and AIS on the first `prior_images` images.

    Returns rows, and scalars of the largest number of prior draws.
    """
    config = context.config
    if config.prior_draws == 0:
        return [], {}
    x = context.images[: config.prior_images]
    estimates = prior_study.prior_estimates(
        context.vae,
        x,
        config.prior_draws,
        context.generator("prior Monte Carlo"),
        lambda fraction: context.progress("prior Monte Carlo", fraction),
    )
    last = estimates[-1].value
    reference = _reference(context, x, [last] if annealed is None or len(annealed) < len(x) else [last, annealed])
    estimates += [
        prior_study.Estimate("importance", size, measured.rungs[f"iwae_{size}"], measured.spreads.get(size))
        for size in sorted(set(config.num_importance_samples))
    ]
    if annealed is not None:
        draws = config.ais_chains * config.ais_temperatures
        estimates.append(prior_study.Estimate("ais", draws, annealed, None))
    summary = {"prior_monte_carlo": last, "prior_monte_carlo_bias": last - reference}
    return prior_study.rows(estimates, reference, measured.rungs["kl"]), summary


def _reference(context: Context, x: Tensor, others: list[Tensor]) -> Float[Tensor, " image"]:
    """The best evidence estimate at hand: importance weighting on many draws of its own, unless another is clearly
    higher. All are lower bounds in expectation; prior draws win where q has missed a collapsed posterior."""
    vae = context.vae
    generator = context.generator("reference")
    num_draws = max(REFERENCE_DRAWS, context.largest_inner)
    parts = x.split(max(1, MAX_TERMS // num_draws))
    log_weights = (draw_terms(vae, part, vae.posterior(part), num_draws, generator).log_weights for part in parts)
    best = torch.cat([log_mean_exp(weights) for weights in log_weights])
    for other in others:
        mean, error = ladder.mean_over_images(other[: len(x)] - best)
        if mean > 3 * error:
            best = other[: len(x)]
    return best


def _best(bounds: list[Float[Tensor, " image"]]) -> Float[Tensor, " image"]:
    return max(bounds, key=lambda bound: float(bound.mean()))
