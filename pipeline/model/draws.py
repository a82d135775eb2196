"""Draws z ~ q(z|x) of a trained model, each decoded exactly once; only three log-densities per draw are kept.

Every bound, at every number of draws, is made of these. Logits live only for one block of decodes, and never grow with
the number of images or draws.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution, kl_divergence

from pipeline.model.vae import MAX_DECODES, VAE
from pipeline.probability.distributions import reparameterise
from pipeline.probability.names import Scheme

MAX_LOGITS = 2**24
"""Outputs of the decoder held at once; with what the likelihood makes of them about 200 MB in float32."""

Progress = Callable[[str, float], None]
"""Called with the name of a part of the work, and its finished fraction."""


class DrawTerms(NamedTuple):
    """Log-densities of each draw, and closed forms for each image (None: torch knows none); float64, in nats."""

    log_px_z: Float[Tensor, "sample image"]
    log_pz: Float[Tensor, "sample image"]
    log_qz_x: Float[Tensor, "sample image"]
    kl: Float[Tensor, " image"] | None
    entropy: Float[Tensor, " image"] | None

    @property
    def log_weights(self) -> Float[Tensor, "sample image"]:
        """log p(x, z) - log q(z|x): draws of the Monte Carlo ELBO, and logarithms of importance weights."""
        return self.log_px_z + self.log_pz - self.log_qz_x


def draw_terms(
    vae: VAE,
    x: Tensor,
    q: Distribution,
    num_draws: int,
    generator: torch.Generator,
    *,
    scheme: Scheme = "iid",
    group: int = 1,
    report: Callable[[float], None] | None = None,
) -> DrawTerms:
    """Make `num_draws` draws of z ~ q for every image.

    Args:
        vae: the model.
        x: images.
        q: where z comes from: the model's posterior of x, or another one (a locally optimised q).
        num_draws: a multiple of `group`.
        generator: of the noise; it lives on the model's device.
        scheme: how the draws of one group depend on each other.
        group: consecutive draws that one call of the scheme makes; groups are independent.
        report: called with the finished fraction.
    """
    prior = vae.prior()
    batch, dim = len(x), vae.latent_dim
    outputs = vae.num_pixels * vae.likelihood.num_parameters
    decodes = max(1, min(MAX_DECODES, MAX_LOGITS // outputs))
    per_block = max(1, decodes // (batch * group))
    total = num_draws // group
    blocks: list[tuple[Tensor, Tensor, Tensor]] = []
    for start in range(0, total, per_block):
        groups = min(per_block, total - start)
        noise = vae.noise(scheme, group, groups * batch, generator)
        # [group, groups * batch, dim] -> the sample axis runs through one group after the other.
        noise = noise.view(group, groups, batch, dim).transpose(0, 1).reshape(groups * group, batch, dim)
        z = reparameterise(q, noise)
        blocks.append(
            (vae.log_px_z(x, z, max_decodes=decodes).double(), prior.log_prob(z).double(), q.log_prob(z).double())
        )
        if report is not None:
            report((start + groups) / total)
    log_px_z, log_pz, log_qz_x = (torch.cat(parts) for parts in zip(*blocks, strict=True))
    return DrawTerms(log_px_z, log_pz, log_qz_x, closed_kl(q, prior), closed_entropy(q))


def closed_kl(q: Distribution, prior: Distribution) -> Float[Tensor, " image"] | None:
    """The closed form of KL(q | p), or None where torch.distributions knows none."""
    try:
        return kl_divergence(q, prior).double()
    except NotImplementedError:
        return None


def closed_entropy(q: Distribution) -> Float[Tensor, " image"] | None:
    """The closed form of q's entropy, or None where torch.distributions knows none."""
    try:
        entropy: Tensor = q.entropy()
    except NotImplementedError:
        return None
    return entropy.double()
