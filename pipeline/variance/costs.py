"""What one evaluation of an estimator costs: seconds per image, and the peak memory on a GPU.

Times are of the parts that the estimators share (draws, the two latent densities, the decoder), at each number of
draws, on draws of their own; an estimator costs the sum of the parts that it needs.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from pipeline.model.vae import VAE
from pipeline.probability import sampling
from pipeline.probability.distributions import reparameterise

BATCH = 16
"""Images in a timed call: as in a small minibatch, so that the fixed cost of a call is shared as in training."""

NEEDS = {
    "k1": ("log_pz", "log_qz_x"),
    "k3": ("log_pz", "log_qz_x"),
    "cross_entropy": ("log_pz",),
    "reconstruction": ("log_px_z",),
    "elbo_closed_form": ("log_px_z",),
    "elbo_monte_carlo": ("log_px_z", "log_pz", "log_qz_x"),
    "elbo_control_variate": ("log_px_z", "log_pz", "log_qz_x"),
    "iwae": ("log_px_z", "log_pz", "log_qz_x"),
}


class Cost(NamedTuple):
    """Seconds per image of each part, at one number of draws."""

    seconds: dict[str, float]
    peak_memory_mib: float | None

    def of(self, quantity: str) -> float:
        """Seconds per image of one evaluation of `quantity`; the encoder and the draws are part of all."""
        return self.seconds["draw"] + sum(self.seconds[part] for part in NEEDS[quantity])


def draw_costs(
    vae: VAE,
    images: Tensor,
    scheme: sampling.Scheme,
    counts: Iterable[int],
    generator: torch.Generator,
    repeats: int = 2,
) -> dict[int, Cost]:
    """Cost at each number of draws per image: the fastest of `repeats` calls, the first of all not counted."""
    x = images[:BATCH]
    _cost(vae, x, scheme, 1, generator, 1)
    return {count: _cost(vae, x, scheme, count, generator, repeats) for count in counts}


def _cost(vae: VAE, x: Tensor, scheme: sampling.Scheme, count: int, generator: torch.Generator, repeats: int) -> Cost:
    cuda = vae.device.type == "cuda"
    if cuda:
        torch.cuda.reset_peak_memory_stats(vae.device)
    fastest = dict.fromkeys(("draw", "log_px_z", "log_pz", "log_qz_x"), math.inf)
    for _ in range(repeats):
        start = _now(cuda)
        q, prior = vae.posterior(x), vae.prior()
        # One draw has no pair to be opposite to.
        noise = vae.noise("iid" if count == 1 else scheme, count, len(x), generator)
        z = reparameterise(q, noise)
        fastest["draw"] = min(fastest["draw"], _now(cuda) - start)
        for name in ("log_px_z", "log_pz", "log_qz_x"):
            start = _now(cuda)
            if name == "log_px_z":
                vae.log_px_z(x, z)
            else:
                (prior if name == "log_pz" else q).log_prob(z)
            fastest[name] = min(fastest[name], _now(cuda) - start)
    peak = torch.cuda.max_memory_allocated(vae.device) / 2**20 if cuda else None
    return Cost({name: seconds / len(x) for name, seconds in fastest.items()}, peak)


def _now(cuda: bool) -> float:
    if cuda:
        torch.cuda.synchronize()
    return time.perf_counter()
