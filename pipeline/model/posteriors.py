"""Posteriors: modules that turn the encoder's features into q(z|x)."""

from __future__ import annotations

import math
from collections.abc import Sequence

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
        self.flow = flow_layers(latent_dim, context, transforms, hidden, coupling)

    def forward(self, features: Float[Tensor, "batch feature"]) -> Distribution:
        flow = self.flow(features)
        return _Flow(flow.transform, flow.base)


class _Flow(NormalizingFlow):
    """zuko's flow, whose one-dimensional transforms do not broadcast z against the batch."""

    def log_prob(self, x: Float[Tensor, "*shape dim"]) -> Float[Tensor, "*any"]:
        batch = torch.broadcast_shapes(x.shape[:-1], self.batch_shape)
        log_prob: Tensor = super().log_prob(x.expand(*batch, -1))
        return log_prob


def flow_layers(features: int, context: int, transforms: int, hidden: Sequence[int], coupling: bool) -> zuko.flows.Flow:
    kind = zuko.flows.NICE if coupling else zuko.flows.MAF
    return kind(features, context, transforms=transforms, hidden_features=tuple(hidden), activation=nn.GELU)
