"""Priors: modules that hold the parameters of p(z)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.distributions import (
    Categorical,
    Distribution,
    Independent,
    Laplace,
    MixtureSameFamily,
    Normal,
)

from pipeline.model.posteriors import flow_layers, positive
from pipeline.probability.distributions import Posterior

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
        self.flow = flow_layers(latent_dim, 0, transforms, hidden, coupling=True)

    def forward(self, posterior: Posterior) -> Distribution:
        flow: Distribution = self.flow()
        return flow
