"""The validation bounds: one for every trial, whatever it trains with, so that trials compare; and IWAE's own."""

from __future__ import annotations

import math

import torch
from jaxtyping import UInt8
from torch import Tensor
from torch.distributions import kl_divergence

from pipeline.model.vae import VAE
from pipeline.probability.bounds import log_mean_exp

VALIDATION_SAMPLES = 2
"""Draws per image."""
VALIDATION_CHUNK = 256
"""Images at once: 26 MB of logits at 28 x 28 pixels and 16 levels, which glibc still keeps and hands out again. Larger
blocks come from the system each time, page by page, and take half as long again on a CPU."""

VALIDATION_DRAWS = 2**17
"""Draws of a chunk of images held at once."""


def validate(
    vae: VAE, images: UInt8[Tensor, "image height width"], *, closed_form: bool, seed: int
) -> dict[str, float]:
    """Estimate the validation bound: beta 1, VALIDATION_SAMPLES antithetic draws, the same noise at every call.

    The KL term is in closed form where the pair of distributions has one, else the mean of log q(z|x) - log p(z).

    Returns:
        validation.elbo, .reconstruction (-E log p(x|z)), .kl in nats per image, and .bits_per_dim.
    """
    generator = torch.Generator(device=images.device).manual_seed(seed)
    totals = torch.zeros(2, dtype=torch.float64, device=images.device)
    with torch.inference_mode():
        for x in images.split(VALIDATION_CHUNK):
            noise = vae.noise("antithetic", VALIDATION_SAMPLES, len(x), generator)
            terms = vae.terms(x, noise)
            kl = kl_divergence(terms.q, vae.prior()) if closed_form else (terms.log_qz_x - terms.log_pz).mean(dim=0)
            totals += torch.stack((-terms.log_px_z.mean(dim=0).double().sum(), kl.double().sum()))
    reconstruction, kl_term = (totals / len(images)).tolist()
    return bound_row("validation", -reconstruction - kl_term, reconstruction, kl_term, vae.num_pixels)


def importance_bound(
    vae: VAE, images: UInt8[Tensor, "image height width"], num_importance_samples: int, *, seed: int
) -> float:
    """The K-sample bound on the validation images, nats per image: K draws of each, the same noise at every call."""
    generator = torch.Generator(device=images.device).manual_seed(seed)
    total = torch.zeros((), dtype=torch.float64, device=images.device)
    with torch.inference_mode():
        for x in images.split(max(1, min(VALIDATION_CHUNK, VALIDATION_DRAWS // num_importance_samples))):
            log_weights = vae.log_weights(x, vae.noise("iid", num_importance_samples, len(x), generator))
            total += log_mean_exp(log_weights.double()).sum()
    return float(total / len(images))


def bound_row(split: str, elbo: float, reconstruction: float, kl: float, num_pixels: int) -> dict[str, float]:
    """The columns that a bound and its two terms have in the tables, under the name of their split."""
    return {
        f"{split}.elbo": elbo,
        f"{split}.reconstruction": reconstruction,
        f"{split}.kl": kl,
        f"{split}.bits_per_dim": -elbo / (num_pixels * math.log(2)),
    }
