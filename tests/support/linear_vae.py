"""Linear-Gaussian VAEs with a known answer to everything, for the tests of what is measured on a trained model."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pipeline import config as cfg
from pipeline.model.linear_gaussian import LinearGaussian, from_vae
from pipeline.model.posteriors import LARGEST_LOG_SCALE
from pipeline.model.vae import VAE, build_vae

SHAPE = (3, 4)


def raw_scale(scale: Tensor) -> Tensor:
    """The head's feature that gives this scale."""
    return LARGEST_LOG_SCALE * torch.atanh(scale.log() / LARGEST_LOG_SCALE)


def linear_vae(
    latent_dim: int = 2,
    *,
    posterior: cfg.ModelConfig | str = "gaussian",
    prior: str = "standard_normal",
    strength: float = 1.0,
    orthogonal: bool = False,
    scale: float = 0.5,
    seed: int = 0,
) -> VAE:
    """A float64 model with random weights; `strength` is the size of the decoder's columns in units of `scale`."""
    model = cfg.ModelConfig.model_validate(
        {
            "latent_dim": latent_dim,
            "network": {"name": "linear"},
            "posterior": {"name": posterior},
            "prior": {"name": prior},
            "likelihood": {"name": "gaussian", "scale": scale},
        }
    )
    generator = torch.Generator().manual_seed(seed)
    vae = build_vae(model, image_shape=SHAPE, levels=16, generator=generator).double()
    columns = torch.randn(math.prod(SHAPE), latent_dim, generator=generator, dtype=torch.float64)
    if orthogonal:
        columns = torch.linalg.qr(columns).Q * (1 + torch.arange(latent_dim, dtype=torch.float64))
    with torch.no_grad():
        vae.decoder.linear.weight.copy_(strength * scale * columns)  # type: ignore[union-attr, operator]
    return vae


def set_posterior(vae: VAE, weight: Tensor, bias: Tensor, scale: Tensor) -> None:
    """Make the encoder answer N(weight x + bias, diag(scale^2)) (or the Laplace of that location and scale)."""
    layer = vae.encoder[-1]  # type: ignore[index]
    assert isinstance(layer, torch.nn.Linear)
    with torch.no_grad():
        layer.weight.zero_()
        layer.bias.zero_()
        layer.weight[: vae.latent_dim] = weight
        layer.bias[: vae.latent_dim] = bias
        layer.bias[vae.latent_dim : 2 * vae.latent_dim] = raw_scale(scale)


def set_best_posterior(vae: VAE, shift: float = 0.0, stretch: float = 1.0) -> LinearGaussian:
    """The best diagonal q of every image, its mean shifted and its scale stretched; returns the exact model."""
    exact = from_vae(vae)
    weight = torch.linalg.solve(exact.posterior_precision, exact.weight.T) / exact.scale**2
    scale = stretch * exact.posterior_precision.diagonal().rsqrt()
    set_posterior(vae, weight, shift - weight @ exact.bias, scale)
    return exact


def images_of(exact: LinearGaussian, num: int, seed: int = 3) -> Tensor:
    x, _ = exact.sample(num, torch.Generator().manual_seed(seed))
    return x.unflatten(-1, SHAPE)
