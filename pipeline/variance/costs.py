"""What one evaluation of an estimator costs: seconds per image, and the peak memory on a GPU.

Times are of the parts that the estimators share (draws, the two latent densities, the decoder), at each number of
draws, on draws of their own; an estimator costs the sum of the parts that it needs.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from pipeline.model.vae import VAE
from pipeline.probability import sampling
from pipeline.probability.distributions import reparameterise
from pipeline.probability.names import Scheme
from pipeline.variance.quantities import STUDIED

BATCH = 16
"""Images in a timed call: as in a small minibatch, so that the fixed cost of a call is shared as in training."""


class Cost(NamedTuple):
    """Seconds per image of each part, at one number of draws."""

    seconds: dict[str, float]
    peak_memory_mib: float | None

    def of(self, quantity: str) -> float:
        """Seconds per image of one evaluation of `quantity`; the encoder and the draws are part of all."""
        return self.seconds["draw"] + sum(self.seconds[part] for part in STUDIED[quantity].parts)


def draw_costs(
    vae: VAE,
    images: Tensor,
    scheme: Scheme,
    counts: Iterable[int],
    generator: torch.Generator,
    repeats: int = 2,
) -> dict[int, Cost]:
    """Cost at each number of draws per image: the fastest of `repeats` calls, the first of all not counted."""
    x = images[:BATCH]
    _cost(vae, x, scheme, 1, generator, 1)
    return {count: _cost(vae, x, scheme, count, generator, repeats) for count in counts}


def _cost(vae: VAE, x: Tensor, scheme: Scheme, count: int, generator: torch.Generator, repeats: int) -> Cost:
    cuda = vae.device.type == "cuda"
    if cuda:
        torch.cuda.reset_peak_memory_stats(vae.device)
    fastest: dict[str, float] = {}
    for _ in range(repeats):
        for part, seconds in _timed(vae, x, scheme, count, generator).items():
            fastest[part] = min(fastest.get(part, math.inf), seconds)
    peak = torch.cuda.max_memory_allocated(vae.device) / 2**20 if cuda else None
    return Cost({part: seconds / len(x) for part, seconds in fastest.items()}, peak)


def _timed(vae: VAE, x: Tensor, scheme: Scheme, count: int, generator: torch.Generator) -> dict[str, float]:
    """Seconds of each part of one evaluation, in the order in which they are computed."""
    cuda = vae.device.type == "cuda"
    marks = [_now(cuda)]
    q, prior = vae.posterior(x), vae.prior()
    noise = sampling.draw(
        "iid" if count == 1 else scheme,  # a single draw has no pair to be opposite to
        count,
        len(x),
        vae.latent_dim,
        generator=generator,
        dtype=vae.dtype,
        device=vae.device,
    )
    z = reparameterise(q, noise)
    marks.append(_now(cuda))
    for density in (lambda: vae.log_px_z(x, z), lambda: prior.log_prob(z), lambda: q.log_prob(z)):
        density()
        marks.append(_now(cuda))
    names = ("draw", "log_px_z", "log_pz", "log_qz_x")
    return dict(zip(names, (after - before for before, after in pairwise(marks)), strict=True))


def _now(cuda: bool) -> float:
    if cuda:
        torch.cuda.synchronize()
    return time.perf_counter()
