"""Priors: one class a kind, a module that holds the parameters of the distribution p(z).

A new kind is a class here and a line in PRIORS; its options are a class in `pipeline.config.options`. The tests in
`tests/pipeline/model/test_priors.py` run over every registered kind.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

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

from pipeline import config as cfg
from pipeline.model.posteriors import flow_layers, positive
from pipeline.probability.distributions import Posterior

ImageShape = tuple[int, int]


class Prior(nn.Module):
    """A kind of prior: called with the model's posterior, it gives p(z), batch shape [], event shape [dim].

    Most kinds leave the posterior alone; a VampPrior is made of it.
    """

    @classmethod
    def from_options(cls, options: Any, latent_dim: int, image_shape: ImageShape) -> Prior:
        """The prior that the options describe, with fresh parameters from torch's global generator."""
        raise NotImplementedError


class FixedPrior(Prior):
    """A product of standard distributions of one family: it has no parameters to learn."""

    loc: Tensor
    scale: Tensor

    def __init__(self, latent_dim: int, family: type[Normal] | type[Laplace]) -> None:
        super().__init__()
        self.family = family
        self.register_buffer("loc", torch.zeros(latent_dim), persistent=False)
        self.register_buffer("scale", torch.ones(latent_dim), persistent=False)

    def forward(self, posterior: Posterior) -> Distribution:
        return Independent(self.family(self.loc, self.scale, validate_args=False), 1, validate_args=False)


class StandardNormalPrior(FixedPrior):
    """p(z) = N(0, I)."""

    @classmethod
    def from_options(cls, options: cfg.StandardNormalPrior, latent_dim: int, image_shape: ImageShape) -> Prior:
        return cls(latent_dim, Normal)


class LaplacePrior(FixedPrior):
    """p(z) = prod_d Laplace(0, 1)."""

    @classmethod
    def from_options(cls, options: cfg.LaplacePrior, latent_dim: int, image_shape: ImageShape) -> Prior:
        return cls(latent_dim, Laplace)


class MixturePrior(Prior):
    """A learnable mixture of diagonal Gaussians, which starts with centres drawn from N(0, I)."""

    def __init__(self, latent_dim: int, components: int) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(components))
        self.loc = nn.Parameter(torch.randn(components, latent_dim))
        self.raw_scale = nn.Parameter(torch.zeros(components, latent_dim))

    @classmethod
    def from_options(cls, options: cfg.MixturePrior, latent_dim: int, image_shape: ImageShape) -> Prior:
        return cls(latent_dim, options.components)

    def forward(self, posterior: Posterior) -> Distribution:
        normal = Independent(Normal(self.loc, positive(self.raw_scale), validate_args=False), 1, validate_args=False)
        return MixtureSameFamily(Categorical(logits=self.logits, validate_args=False), normal, validate_args=False)


class VampPrior(Prior):
    """The mean posterior over learnt pseudo-inputs in (0, 1) (Tomczak & Welling 2018, equation 9)."""

    def __init__(self, image_shape: ImageShape, pseudo_inputs: int) -> None:
        super().__init__()
        self.pseudo_inputs = nn.Parameter(torch.randn(pseudo_inputs, *image_shape))

    @classmethod
    def from_options(cls, options: cfg.VampPrior, latent_dim: int, image_shape: ImageShape) -> Prior:
        return cls(image_shape, options.pseudo_inputs)

    def forward(self, posterior: Posterior) -> Distribution:
        components = posterior(torch.sigmoid(self.pseudo_inputs))
        equal = Categorical(logits=self.pseudo_inputs.new_zeros(len(self.pseudo_inputs)), validate_args=False)
        return MixtureSameFamily(equal, components, validate_args=False)


class FlowPrior(Prior):
    """A normalising flow of coupling layers (zuko)."""

    def __init__(self, latent_dim: int, transforms: int, hidden: Sequence[int]) -> None:
        super().__init__()
        self.flow = flow_layers(latent_dim, 0, transforms, hidden, coupling=True)

    @classmethod
    def from_options(cls, options: cfg.FlowPrior, latent_dim: int, image_shape: ImageShape) -> Prior:
        return cls(latent_dim, options.transforms, options.hidden)

    def forward(self, posterior: Posterior) -> Distribution:
        flow: Distribution = self.flow()
        return flow


PRIORS: dict[type[cfg.Frozen], type[Prior]] = {
    cfg.StandardNormalPrior: StandardNormalPrior,
    cfg.LaplacePrior: LaplacePrior,
    cfg.MixturePrior: MixturePrior,
    cfg.VampPrior: VampPrior,
    cfg.FlowPrior: FlowPrior,
}
"""Every kind of prior, by the class of its options."""


def build_prior(options: cfg.Frozen, latent_dim: int, image_shape: ImageShape) -> Prior:
    """The prior that the options describe."""
    return PRIORS[type(options)].from_options(options, latent_dim, image_shape)
