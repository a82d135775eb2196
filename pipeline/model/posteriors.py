"""Posteriors: one class a kind, a module that turns the encoder's features into the distribution q(z|x).

A new kind is a class here and a line in POSTERIORS; its options are a class in `pipeline.config.options`. The tests in
`tests/pipeline/model/test_posteriors.py` run over every registered kind.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import zuko
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import (
    Distribution,
    Independent,
    Laplace,
    MultivariateNormal,
    Normal,
)
from zuko.distributions import NormalizingFlow

from pipeline import config as cfg

LARGEST_LOG_SCALE = math.log(1e6)


def positive(raw: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """A raw number -> a scale in [1e-6, 1e6]: the exponential near 0, where it is exactly 1, saturating smoothly."""
    return torch.exp(LARGEST_LOG_SCALE * torch.tanh(raw / LARGEST_LOG_SCALE))


class PosteriorHead(nn.Module):
    """A kind of posterior: called with features [batch, feature], it gives q(z|x), batch shape [batch], event [dim]."""

    num_features: int
    """Features that it needs from the encoder."""

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.latent_dim = latent_dim

    @classmethod
    def from_options(cls, options: Any, latent_dim: int) -> PosteriorHead:
        """The posterior that the options describe, with fresh weights from torch's global generator."""
        return cls(latent_dim)


class GaussianHead(PosteriorHead):
    """q(z|x) = N(loc, diag(scale^2)); N(0, I) at all-zero features."""

    def __init__(self, latent_dim: int) -> None:
        super().__init__(latent_dim)
        self.num_features = 2 * latent_dim

    def forward(self, features: Float[Tensor, "batch feature"]) -> Distribution:
        loc, raw = features.chunk(2, dim=-1)
        return Independent(Normal(loc, positive(raw), validate_args=False), 1, validate_args=False)


class LaplaceHead(PosteriorHead):
    """q(z|x) = prod_d Laplace(loc_d, b_d); its standard deviation is sqrt(2) b."""

    def __init__(self, latent_dim: int) -> None:
        super().__init__(latent_dim)
        self.num_features = 2 * latent_dim

    def forward(self, features: Float[Tensor, "batch feature"]) -> Distribution:
        loc, raw = features.chunk(2, dim=-1)
        return Independent(Laplace(loc, positive(raw), validate_args=False), 1, validate_args=False)


class FullGaussianHead(PosteriorHead):
    """q(z|x) = N(loc, L L^T), L lower triangular with a positive diagonal; N(0, I) at all-zero features."""

    rows: Tensor
    columns: Tensor

    def __init__(self, latent_dim: int) -> None:
        super().__init__(latent_dim)
        self.num_features = 2 * latent_dim + latent_dim * (latent_dim - 1) // 2
        rows, columns = torch.tril_indices(latent_dim, latent_dim, offset=-1)
        self.register_buffer("rows", rows, persistent=False)
        self.register_buffer("columns", columns, persistent=False)

    def forward(self, features: Float[Tensor, "batch feature"]) -> Distribution:
        loc, raw, below = features.split([self.latent_dim, self.latent_dim, len(self.rows)], dim=-1)
        scale_tril = torch.diag_embed(positive(raw))
        scale_tril[..., self.rows, self.columns] = below
        return MultivariateNormal(loc, scale_tril=scale_tril, validate_args=False)


class FlowHead(PosteriorHead):
    """A normalising flow (zuko) conditioned on features: coupling layers, or masked autoregressive ones."""

    def __init__(self, latent_dim: int, context: int, transforms: int, hidden: Sequence[int], coupling: bool) -> None:
        super().__init__(latent_dim)
        self.num_features = context
        self.flow = flow_layers(latent_dim, context, transforms, hidden, coupling)

    @classmethod
    def from_options(cls, options: cfg.FlowPosterior, latent_dim: int) -> PosteriorHead:
        return cls(latent_dim, options.context, options.transforms, options.hidden, options.coupling)

    def forward(self, features: Float[Tensor, "batch feature"]) -> Distribution:
        flow = self.flow(features)
        return _Flow(flow.transform, flow.base)


class _Flow(NormalizingFlow):
    """zuko's flow, with z broadcast against the batch, which zuko's one-dimensional transforms leave out."""

    def log_prob(self, x: Float[Tensor, "*shape dim"]) -> Float[Tensor, "*any"]:
        batch = torch.broadcast_shapes(x.shape[:-1], self.batch_shape)
        log_prob: Tensor = super().log_prob(x.expand(*batch, -1))
        return log_prob


def flow_layers(features: int, context: int, transforms: int, hidden: Sequence[int], coupling: bool) -> zuko.flows.Flow:
    """zuko's flow over `features` dimensions given `context` others: coupling (NICE) or autoregressive (MAF) layers."""
    kind = zuko.flows.NICE if coupling else zuko.flows.MAF
    return kind(features, context, transforms=transforms, hidden_features=tuple(hidden), activation=nn.GELU)


POSTERIORS: dict[type[cfg.Frozen], type[PosteriorHead]] = {
    cfg.GaussianPosterior: GaussianHead,
    cfg.FullGaussianPosterior: FullGaussianHead,
    cfg.LaplacePosterior: LaplaceHead,
    cfg.FlowPosterior: FlowHead,
}
"""Every kind of posterior, by the class of its options."""


def build_posterior(options: cfg.Frozen, latent_dim: int) -> PosteriorHead:
    """The posterior that the options describe."""
    return POSTERIORS[type(options)].from_options(options, latent_dim)
