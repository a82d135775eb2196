"""Posteriors q(z|x) and priors p(z), on torch.distributions and zuko; and which KLs are known in closed form.

Heads and priors are modules that return distributions, of event shape [dim]; batch shape [batch] and [] respectively.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache

import torch
import zuko
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import (
    Categorical,
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
from zuko.transforms import IdentityTransform

Posterior = Callable[[Tensor], Distribution]
LARGEST_LOG_SCALE = math.log(1e6)


def positive(raw: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """A raw number -> a scale in [1e-6, 1e6]: the exponential near 0, where it is exactly 1, saturating smoothly."""
    return torch.exp(LARGEST_LOG_SCALE * torch.tanh(raw / LARGEST_LOG_SCALE))


# --- posteriors: features of the encoder -> q(z|x) ------------------------------------------------------------------


class GaussianHead(nn.Module):
    """q(z|x) = N(loc, diag(scale^2)); N(0, I) at all-zero features."""

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.num_features = 2 * latent_dim

    def forward(self, features: Float[Tensor, "batch feature"]) -> Distribution:
        loc, raw = features.chunk(2, dim=-1)
        return Independent(Normal(loc, positive(raw), validate_args=False), 1, validate_args=False)


class LaplaceHead(nn.Module):
    """q(z|x) = prod_d Laplace(loc_d, b_d); its standard deviation is sqrt(2) b."""

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.num_features = 2 * latent_dim

    def forward(self, features: Float[Tensor, "batch feature"]) -> Distribution:
        loc, raw = features.chunk(2, dim=-1)
        return Independent(Laplace(loc, positive(raw), validate_args=False), 1, validate_args=False)


class FullGaussianHead(nn.Module):
    """q(z|x) = N(loc, L L^T), L lower triangular with a positive diagonal; N(0, I) at all-zero features."""

    rows: Tensor
    columns: Tensor

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        self.num_features = 2 * latent_dim + latent_dim * (latent_dim - 1) // 2
        rows, columns = torch.tril_indices(latent_dim, latent_dim, offset=-1)
        self.register_buffer("rows", rows, persistent=False)
        self.register_buffer("columns", columns, persistent=False)

    def forward(self, features: Float[Tensor, "batch feature"]) -> Distribution:
        loc, raw, below = features.split([self.latent_dim, self.latent_dim, len(self.rows)], dim=-1)
        scale_tril = torch.diag_embed(positive(raw))
        scale_tril[..., self.rows, self.columns] = below
        return MultivariateNormal(loc, scale_tril=scale_tril, validate_args=False)


class FlowHead(nn.Module):
    """A normalising flow (zuko) conditioned on features: coupling layers, or masked autoregressive ones."""

    def __init__(self, latent_dim: int, context: int, transforms: int, hidden: Sequence[int], coupling: bool) -> None:
        super().__init__()
        self.num_features = context
        self.flow = _flow(latent_dim, context, transforms, hidden, coupling)

    def forward(self, features: Float[Tensor, "batch feature"]) -> Distribution:
        flow = self.flow(features)
        return _Flow(flow.transform, flow.base)


class _Flow(NormalizingFlow):
    """zuko's flow, whose one-dimensional transforms do not broadcast z against the batch."""

    def log_prob(self, x: Float[Tensor, "*shape dim"]) -> Float[Tensor, "*any"]:
        batch = torch.broadcast_shapes(x.shape[:-1], self.batch_shape)
        log_prob: Tensor = super().log_prob(x.expand(*batch, -1))
        return log_prob


def _flow(features: int, context: int, transforms: int, hidden: Sequence[int], coupling: bool) -> zuko.flows.Flow:
    kind = zuko.flows.NICE if coupling else zuko.flows.MAF
    return kind(features, context, transforms=transforms, hidden_features=tuple(hidden), activation=nn.GELU)


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


def path_log_prob(q: Distribution, z: Float[Tensor, "*sample dim"]) -> Float[Tensor, "*any"]:
    """log q(z) whose gradient goes through z alone: the score term d log q / d parameters is left out.

    The term is subtracted rather than the parameters detached, so it works for every q, flows included.
    """
    score = q.log_prob(z.detach())
    return q.log_prob(z) - (score - score.detach())


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


# --- priors: p(z) ---------------------------------------------------------------------------------------------------
# A prior may be made of the model's own posterior (VampPrior), so each is called with it.


class FixedPrior(nn.Module):
    """N(0, I) or prod_d Laplace(0, 1)."""

    loc: Tensor
    scale: Tensor

    def __init__(self, latent_dim: int, family: type[Normal] | type[Laplace]) -> None:
        super().__init__()
        self.family = family
        self.register_buffer("loc", torch.zeros(latent_dim), persistent=False)
        self.register_buffer("scale", torch.ones(latent_dim), persistent=False)

    def forward(self, posterior: Posterior) -> Distribution:
        return Independent(self.family(self.loc, self.scale, validate_args=False), 1, validate_args=False)


class MixturePrior(nn.Module):
    """A learnable mixture of diagonal Gaussians, which starts with centres drawn from N(0, I)."""

    def __init__(self, latent_dim: int, components: int) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(components))
        self.loc = nn.Parameter(torch.randn(components, latent_dim))
        self.raw_scale = nn.Parameter(torch.zeros(components, latent_dim))

    def forward(self, posterior: Posterior) -> Distribution:
        normal = Independent(Normal(self.loc, positive(self.raw_scale), validate_args=False), 1, validate_args=False)
        return MixtureSameFamily(Categorical(logits=self.logits, validate_args=False), normal, validate_args=False)


class VampPrior(nn.Module):
    """The mean posterior over learnt pseudo-inputs in (0, 1) (Tomczak & Welling 2018, equation 9)."""

    def __init__(self, image_shape: tuple[int, int], pseudo_inputs: int) -> None:
        super().__init__()
        self.pseudo_inputs = nn.Parameter(torch.randn(pseudo_inputs, *image_shape))

    def forward(self, posterior: Posterior) -> Distribution:
        components = posterior(torch.sigmoid(self.pseudo_inputs))
        equal = Categorical(logits=self.pseudo_inputs.new_zeros(len(self.pseudo_inputs)), validate_args=False)
        return MixtureSameFamily(equal, components, validate_args=False)


class FlowPrior(nn.Module):
    """A normalising flow of coupling layers (zuko)."""

    def __init__(self, latent_dim: int, transforms: int, hidden: Sequence[int]) -> None:
        super().__init__()
        self.flow = _flow(latent_dim, 0, transforms, hidden, coupling=True)

    def forward(self, posterior: Posterior) -> Distribution:
        flow: Distribution = self.flow()
        return flow


# --- what is known in closed form -----------------------------------------------------------------------------------


@register_kl(MultivariateNormal, Independent)
def _kl_full_gaussian_separable(q: MultivariateNormal, p: Independent[Distribution]) -> Tensor:
    """The cross-entropy with a prior of independent dimensions needs only the marginals of q."""
    marginal = Normal(q.loc, q.variance.sqrt(), validate_args=False)
    cross_entropy = kl_divergence(marginal, p.base_dist) + marginal.entropy()
    kl: Tensor = cross_entropy.sum(-1) - q.entropy()
    return kl


def _normal() -> Distribution:
    return Independent(Normal(torch.zeros(1), torch.ones(1)), 1)


def _mixture() -> Distribution:
    return MixtureSameFamily(Categorical(logits=torch.zeros(1)), _normal().expand(torch.Size([1])))


def _flow_over_normal() -> Distribution:
    flow: Distribution = NormalizingFlow(IdentityTransform(), _normal())
    return flow


# One small instance of each kind, to ask torch what it knows about it.
_POSTERIORS: dict[str, Callable[[], Distribution]] = {
    "gaussian": _normal,
    "full_gaussian": lambda: MultivariateNormal(torch.zeros(1), scale_tril=torch.eye(1)),
    "laplace": lambda: Independent(Laplace(torch.zeros(1), torch.ones(1)), 1),
    "flow": _flow_over_normal,
}
_PRIORS: dict[str, Callable[[], Distribution]] = {
    "standard_normal": _normal,
    "laplace": _POSTERIORS["laplace"],
    "mixture": _mixture,
    "vamp": _mixture,
    "flow": _flow_over_normal,
}


@lru_cache
def has_closed_form_kl(posterior_name: str, prior_name: str) -> bool:
    """Whether torch.distributions.kl knows KL(q|p) for these names of the configuration."""
    try:
        kl_divergence(_POSTERIORS[posterior_name](), _PRIORS[prior_name]())
    except NotImplementedError:
        return False
    return True


@lru_cache
def has_closed_form_entropy(posterior_name: str) -> bool:
    """Whether torch.distributions knows the entropy of a posterior of this name."""
    try:
        _POSTERIORS[posterior_name]().entropy()
    except NotImplementedError:
        return False
    return True
