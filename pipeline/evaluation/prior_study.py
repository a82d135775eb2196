"""Why naive integration fails: log p(x) as the mean of p(x|z) over 1, 10, ..., 1e5 prior draws.

Every prior draw is decoded once, and serves all images and all numbers of draws: disjoint blocks of n draws give the
mean of the log-estimate, which Jensen's inequality keeps below log p(x), and its spread.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.evaluation.evidence import prior_draws
from pipeline.model.vae import VAE

PIECE = 1000
"""Draws decoded at once; a power of ten, so that pieces cut blocks nowhere."""


@dataclass
class LogMeans:
    """Log-means of disjoint blocks of `size` draws, one image a column; only running sums are kept."""

    size: int
    count: int = 0
    total: Tensor | float = 0.0
    squares: Tensor | float = 0.0
    pending: list[Float[Tensor, " image"]] = field(default_factory=list)
    """Log-sums of the pieces of a block that is not complete."""

    def add(self, log_px_z: Float[Tensor, "draw image"]) -> None:
        """Take the next piece of draws: at most PIECE, and only the last piece may be shorter."""
        if self.size <= PIECE:
            whole = len(log_px_z) // self.size
            self._take(log_px_z[: whole * self.size].unflatten(0, (whole, self.size)).logsumexp(1))
        elif len(log_px_z) == PIECE:
            self.pending.append(log_px_z.logsumexp(0))
            if len(self.pending) * PIECE == self.size:
                self._take(torch.stack(self.pending).logsumexp(0, keepdim=True))
                self.pending.clear()

    def _take(self, log_sums: Float[Tensor, "block image"]) -> None:
        log_means = log_sums - math.log(self.size)
        self.count += len(log_means)
        self.total = self.total + log_means.sum(0)
        self.squares = self.squares + log_means.square().sum(0)

    @property
    def mean(self) -> Float[Tensor, " image"]:
        return torch.as_tensor(self.total) / self.count

    @property
    def spread(self) -> Float[Tensor, " image"] | None:
        """Standard deviation of one block's log-mean; None with a single block."""
        if self.count < 2:
            return None
        variance = (torch.as_tensor(self.squares) - self.count * self.mean.square()) / (self.count - 1)
        return variance.clamp_min(0).sqrt()


class Estimate(NamedTuple):
    """log p(x) of every image by one estimator."""

    estimator: str
    num_draws: int
    value: Float[Tensor, " image"]
    spread: Float[Tensor, " image"] | None
    """Standard deviation of one estimate; None where there is only one."""


def prior_estimates(
    vae: VAE,
    x: Tensor,
    num_draws: int,
    generator: torch.Generator,
    report: Callable[[float], None] | None = None,
) -> list[Estimate]:
    """Prior Monte Carlo of log p(x) with 1, 10, 100, ... <= `num_draws` draws, all from the same draws."""
    means = [LogMeans(10**power) for power in range(len(str(num_draws)))]
    draw = prior_draws(vae, x, generator)
    for start in range(0, num_draws, PIECE):
        log_px_z = draw(min(PIECE, num_draws - start)).double()
        for mean in means:
            mean.add(log_px_z)
        if report is not None:
            report(min(1.0, (start + PIECE) / num_draws))
    return [Estimate("prior_monte_carlo", mean.size, mean.mean, mean.spread) for mean in means]


def rows(
    estimates: Iterable[Estimate], reference: Float[Tensor, " image"], kl: Float[Tensor, " image"]
) -> list[dict[str, Any]]:
    """The `evidence` table: each estimate against the best one, beside the KL whose exponential is about the number of
    prior draws needed."""
    return [
        {
            "image": image,
            "estimator": estimate.estimator,
            "num_draws": estimate.num_draws,
            "log_evidence": float(estimate.value[image]),
            "bias": float(estimate.value[image] - reference[image]),
            "spread": None if estimate.spread is None else float(estimate.spread[image]),
            "reference": float(reference[image]),
            "kl": float(kl[image]),
        }
        for estimate in estimates
        for image in range(min(len(reference), len(estimate.value)))
    ]
