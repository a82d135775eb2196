"""The gradient study of a trained replicate: variance and signal-to-noise of every gradient estimator.

On one fixed minibatch each estimator's gradient is drawn many times; only the draws of z differ. With g one gradient
(flattened), R repeats and Cov its covariance over repeats:

    gradient_variance = tr Cov,      signal_to_noise = |E g| / sqrt(tr Cov),      |E g|^2 ~ |mean g|^2 - tr Cov / R

The last is what keeps the ratio from being sqrt(1/R) for pure noise (Rainforth et al. 2018 study the same ratio).
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from pipeline.config import VarianceConfig
from pipeline.model.draws import Progress, closed_kl
from pipeline.model.vae import VAE
from pipeline.probability import sampling
from pipeline.probability.gradients.registry import GRADIENT_ESTIMATORS
from pipeline.probability.kl.registry import KL_ESTIMATORS
from pipeline.training.objectives import Elbo, Iwae, Objective

GROUPS = 16
"""The standard error is a jackknife over so many groups of repeats: their sums are kept, the single gradients not."""


class Variant(NamedTuple):
    """A gradient estimator at one size."""

    estimator: str
    """Its name in the table: `pathwise_monte_carlo` is the pathwise gradient of the bound with a sampled KL."""
    objective: Objective


class Signal(NamedTuple):
    """How large one part of a gradient is against its noise."""

    gradient_variance: float
    signal_to_noise: float
    standard_error: float
    """Of `signal_to_noise`."""


def study(
    vae: VAE,
    images: UInt8[Tensor, "image height width"],
    config: VarianceConfig,
    *,
    seed: int,
    progress: Progress | None = None,
) -> list[dict[str, Any]]:
    """Rows of the `gradients` table (without `trial` and `replicate`); none with `gradient_repeats: 0`.

    The weight of the KL is 1 whatever the trial was trained with. K takes those of `num_importance_samples` that are no
    larger than the largest L: every estimator then stays within the same budget of draws.
    """
    repeats = config.gradient_repeats
    if repeats == 0:
        return []
    x = images[: config.gradient_images]
    generator = torch.Generator(vae.device).manual_seed(sampling.replicate_seed(seed, 0, "gradients"))
    with torch.no_grad():
        closed = closed_kl(vae.posterior(x[:1]), vae.prior()) is not None
    variants = list(_variants(config, closed))
    rows: list[dict[str, Any]] = []
    for index, variant in enumerate(variants):
        started = time.perf_counter()
        signals = measure(vae, x, variant.objective, repeats, generator)
        seconds = (time.perf_counter() - started) / repeats
        rows += [_row(variant, part, signal, repeats, seconds) for part, signal in signals.items()]
        if progress is not None:
            progress("gradients", (index + 1) / len(variants))
    return rows


def _variants(config: VarianceConfig, closed: bool) -> Iterator[Variant]:
    """Every gradient estimator at every size at which it has the draws that it needs."""
    for length in config.gradient_num_samples:
        yield from _elbo_variants(length, closed)
    for inner in config.num_importance_samples:
        if inner > max(config.gradient_num_samples):
            continue
        for gradient in GRADIENT_ESTIMATORS.values():
            if "iwae" in gradient.objectives and inner >= gradient.least_draws:
                yield Variant(gradient.name, Iwae(1, inner, gradient))


def _elbo_variants(length: int, closed: bool) -> Iterator[Variant]:
    """With the closed-form KL where there is one that the estimator takes; the pathwise gradient with both KLs."""
    closed_form, monte_carlo = KL_ESTIMATORS["closed_form"], KL_ESTIMATORS["monte_carlo"]
    for gradient in GRADIENT_ESTIMATORS.values():
        if "elbo" not in gradient.objectives or length < gradient.least_draws:
            continue
        kl = closed_form if closed and gradient.takes(closed_form) else monte_carlo
        yield Variant(gradient.name, Elbo(length, kl, gradient))
        if gradient.name == "pathwise" and closed:
            yield Variant("pathwise_monte_carlo", Elbo(length, monte_carlo, gradient))


def measure(vae: VAE, x: Tensor, objective: Objective, repeats: int, generator: torch.Generator) -> dict[str, Signal]:
    """Signal of the encoder's and the decoder's gradient of the batch mean."""
    parameters = {"encoder": _trainable(vae.encoder_parameters()), "decoder": _trainable(vae.decoder_parameters())}
    flat = [parameter for part in parameters.values() for parameter in part]
    cut = sum(parameter.numel() for parameter in parameters["encoder"])
    gradient = torch.empty(sum(map(torch.numel, flat)), dtype=vae.dtype, device=vae.device)
    sums = {part: GradientSums(min(GROUPS, repeats)) for part in parameters}
    for repeat in range(repeats):
        noise = vae.noise("iid", objective.num_draws, len(x), generator)
        loss = objective(vae, x, noise).loss
        gradients = torch.autograd.grad(loss, flat, allow_unused=True, materialize_grads=True)
        torch.cat([part.reshape(-1) for part in gradients], out=gradient)
        sums["encoder"].add(repeat, gradient[:cut])
        sums["decoder"].add(repeat, gradient[cut:])
    return {part: of_part.signal() for part, of_part in sums.items()}


def _trainable(parameters: list[torch.nn.Parameter]) -> list[torch.nn.Parameter]:
    return [parameter for parameter in parameters if parameter.requires_grad]


class GradientSums:
    """Sums over repeats, by group, of gradients and their squared norms, as differences to the first gradient.

    The difference keeps the digits of a variance that is small against the gradient itself.
    """

    def __init__(self, groups: int) -> None:
        self.first: Tensor | None = None
        self.sums = self.difference = torch.empty(0)
        self.squares = torch.zeros(groups, dtype=torch.float64)
        self.counts = torch.zeros(groups, dtype=torch.float64)

    def add(self, repeat: int, gradient: Float[Tensor, " parameter"]) -> None:
        if self.first is None:
            self.first, self.difference = gradient.clone(), torch.empty_like(gradient)
            self.sums = gradient.new_zeros(len(self.counts), len(gradient))
        torch.sub(gradient, self.first, out=self.difference)
        group = repeat % len(self.counts)
        self.sums[group] += self.difference
        self.squares[group] += float(self.difference @ self.difference)
        self.counts[group] += 1

    def signal(self) -> Signal:
        """Over all repeats, with the jackknife error over groups."""
        assert self.first is not None
        gram = (self.sums @ self.sums.T).double().cpu()
        along = (self.sums @ self.first).double().cpu()
        first = float(self.first @ self.first)

        def ratio(kept: Float[Tensor, " group"]) -> tuple[float, float]:
            count = float(kept @ self.counts)
            mean_square = float(kept @ gram @ kept) / count**2
            trace = max(0.0, float(kept @ self.squares) - count * mean_square) / (count - 1)
            squared_mean = first + 2 * float(kept @ along) / count + mean_square
            signal = max(0.0, squared_mean - trace / count)
            return trace, math.sqrt(signal / trace) if trace > 0 else math.nan

        groups = len(self.counts)
        trace, value = ratio(torch.ones(groups, dtype=torch.float64))
        left_out = torch.tensor([ratio(row)[1] for row in 1 - torch.eye(groups, dtype=torch.float64)])
        spread = float((left_out - left_out.mean()).square().sum()) * (groups - 1) / groups
        return Signal(trace, value, math.sqrt(spread))


def _row(variant: Variant, part: str, signal: Signal, repeats: int, seconds: float) -> dict[str, Any]:
    objective = variant.objective
    return {
        "parameters": part,
        "estimator": variant.estimator,
        "objective": objective.name,
        "num_samples": objective.num_samples,
        "num_importance_samples": objective.num_importance_samples if isinstance(objective, Iwae) else None,
        **{name: value if math.isfinite(value) else None for name, value in signal._asdict().items()},
        "repeats": repeats,
        "seconds": seconds,
    }
