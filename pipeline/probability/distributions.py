"""What torch.distributions and zuko leave open: reparameterised maps, draws from a given generator, one KL.

A posterior q(z|x) has event shape [dim] and batch shape [batch], a prior p(z) batch shape [].
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.distributions import (
    Distribution,
    Independent,
    Laplace,
    MixtureSameFamily,
    MultivariateNormal,
    Normal,
    kl_divergence,
    register_kl,
)
from zuko.distributions import NormalizingFlow

Posterior = Callable[[Tensor], Distribution]


def reparameterise(q: Distribution, noise: Float[Tensor, "*sample dim"]) -> Float[Tensor, "*sample dim"]:
    """Standard normal noise -> z ~ q, differentiable in the parameters of q (Kingma & Welling 2014, section 2.4).

    Raises:
        TypeError: a distribution with no such map.
    """
    if isinstance(q, Independent) and isinstance(q.base_dist, Normal):
        return _shift(q.base_dist, noise)
    if isinstance(q, Independent) and isinstance(q.base_dist, Laplace):
        # P(|e| > t) = 2 Phi(-t) and P(|Laplace| > y) = exp(-y): log_ndtr keeps the tail that 1 - Phi(t) would lose.
        distance = -(torch.special.log_ndtr(-noise.abs()) + math.log(2))
        return _shift(q.base_dist, noise.sign() * distance)
    if isinstance(q, MultivariateNormal):
        return q.loc + (q.scale_tril @ noise.unsqueeze(-1)).squeeze(-1)
    if isinstance(q, NormalizingFlow):
        z: Tensor = q.transform.inv(noise)
        return z
    raise TypeError(f"no reparameterisation for {type(q).__name__}")


def _shift(base: Normal | Laplace, standard: Float[Tensor, "*sample dim"]) -> Float[Tensor, "*sample dim"]:
    return base.loc + base.scale * standard


def sample(p: Distribution, num_samples: int, generator: torch.Generator) -> Float[Tensor, "sample dim"]:
    """Draws from a prior (batch shape []) with an explicit generator, which `Distribution.sample` does not take."""
    like = _parameter(p)
    if not isinstance(p, MixtureSameFamily):
        noise = torch.randn(num_samples, p.event_shape[0], generator=generator, dtype=like.dtype, device=like.device)
        return reparameterise(p, noise)
    chosen = torch.multinomial(p.mixture_distribution.probs, num_samples, replacement=True, generator=generator)
    components, dim = p.component_distribution.batch_shape[0], p.event_shape[0]
    blocks = []
    for part in chosen.split(max(1, (1 << 20) // components)):  # each block draws from every component, then picks
        noise = torch.randn(len(part), 1, dim, generator=generator, dtype=like.dtype, device=like.device)
        every = reparameterise(p.component_distribution, noise.expand(-1, components, -1))
        blocks.append(every[torch.arange(len(part), device=part.device), part])
    return torch.cat(blocks)


def _parameter(d: Distribution) -> Tensor:
    """A tensor of the distribution's dtype and device."""
    match d:
        case NormalizingFlow():
            return _parameter(d.base)
        case MixtureSameFamily():
            return _parameter(d.component_distribution)
        case Independent():
            return _parameter(d.base_dist)
        case Normal() | Laplace() | MultivariateNormal():
            return d.loc
    raise TypeError(f"no location in {type(d).__name__}")


def log_aggregate_posterior(
    q: Distribution, z: Float[Tensor, "draw dim"], max_pairs: int = 1 << 20
) -> Float[Tensor, " draw"]:
    """log q(z) = log mean_n q(z|x_n) over the images in q's batch, in blocks of draws so that memory stays bounded."""
    size = max(1, max_pairs // q.batch_shape[0])
    log_prob = [torch.logsumexp(q.log_prob(block.unsqueeze(1)), dim=1) for block in z.split(size)]
    return torch.cat(log_prob) - math.log(q.batch_shape[0])


def log_aggregate_of_others(
    q: Distribution, z: Float[Tensor, "draw dim"], own: Int64[Tensor, " draw"], max_pairs: int = 1 << 20
) -> tuple[Float[Tensor, " draw"], Float[Tensor, " draw"]]:
    """log q(z), and the same without the image that a draw comes from: log mean over n != own of q(z|x_n).

    Raises:
        ValueError: fewer than 2 images.
    """
    images = q.batch_shape[0]
    if images < 2:
        raise ValueError(f"leaving an image out needs at least 2 images, got {images}")
    size = max(1, max_pairs // images)
    every, others = [], []
    for block, number in zip(z.split(size), own.split(size), strict=True):
        log_prob = q.log_prob(block.unsqueeze(1))
        every.append(torch.logsumexp(log_prob, dim=1))
        # Not by subtraction from the sum: a draw's own image is often nearly all of it.
        others.append(torch.logsumexp(log_prob.scatter(1, number.unsqueeze(1), -math.inf), dim=1))
    return torch.cat(every) - math.log(images), torch.cat(others) - math.log(images - 1)


@register_kl(MultivariateNormal, Independent)
def _kl_full_gaussian_separable(q: MultivariateNormal, p: Independent[Distribution]) -> Tensor:
    """The cross-entropy with a prior of independent dimensions needs only the marginals of q."""
    marginal = Normal(q.loc, q.variance.sqrt(), validate_args=False)
    cross_entropy = kl_divergence(marginal, p.base_dist) + marginal.entropy()
    kl: Tensor = cross_entropy.sum(-1) - q.entropy()
    return kl
