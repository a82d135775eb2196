"""The model: encoder and posterior q(z|x), prior p(z), decoder and likelihood p(x|z)."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Float, Shaped, UInt8
from torch import Tensor, nn
from torch.distributions import Distribution, Laplace, Normal

from pipeline import config as cfg
from pipeline import distributions as dist
from pipeline import likelihoods, networks

MAX_DECODES = 4096
"""Images decoded at once where no gradient is kept: 28 x 28 pixels of 16 levels are then about 0.2 GB of logits."""


class Terms(NamedTuple):
    """One draw z ~ q(z|x) in every row: log densities in nats per image."""

    q: Distribution
    z: Float[Tensor, "sample batch dim"]
    log_px_z: Float[Tensor, "sample batch"]
    log_pz: Float[Tensor, "sample batch"]
    log_qz_x: Float[Tensor, "sample batch"]


class VAE(nn.Module):
    """Images come as uint8 levels [..., height, width], or as floats that are grey values in [0, 1] already."""

    def __init__(
        self,
        encoder: nn.Module,
        posterior_head: nn.Module,
        prior_module: nn.Module,
        decoder: nn.Module,
        likelihood: nn.Module,
        *,
        latent_dim: int,
        image_shape: tuple[int, int],
        levels: int,
    ) -> None:
        super().__init__()
        self.encoder, self.posterior_head, self.prior_module = encoder, posterior_head, prior_module
        self.decoder, self.likelihood = decoder, likelihood
        self.latent_dim, self.image_shape, self.levels = latent_dim, image_shape, levels

    @property
    def num_pixels(self) -> int:
        return math.prod(self.image_shape)

    @property
    def dtype(self) -> torch.dtype:
        return next(self.decoder.parameters()).dtype

    @property
    def device(self) -> torch.device:
        return next(self.decoder.parameters()).device

    def encoder_parameters(self) -> list[nn.Parameter]:
        """The parameters of q(z|x)."""
        return [*self.encoder.parameters(), *self.posterior_head.parameters()]

    def decoder_parameters(self) -> list[nn.Parameter]:
        """The parameters of p(x, z): decoder, likelihood and prior."""
        return [*self.decoder.parameters(), *self.likelihood.parameters(), *self.prior_module.parameters()]

    def grey(self, x: Shaped[Tensor, "*batch height width"]) -> Float[Tensor, "*batch height width"]:
        """Levels -> grey values in [0, 1]; grey values are passed on."""
        return x if x.is_floating_point() else x.to(self.dtype) / (self.levels - 1)

    def posterior(self, x: Shaped[Tensor, "batch height width"]) -> Distribution:
        """q(z|x), batch shape [batch], event shape [dim]."""
        posterior: Distribution = self.posterior_head(self.encoder(self.grey(x)))
        return posterior

    def prior(self) -> Distribution:
        """p(z), batch shape [], event shape [dim]."""
        prior: Distribution = self.prior_module(self.posterior)
        return prior

    def decode(self, z: Float[Tensor, "*batch dim"]) -> likelihoods.Pixels:
        """p(x|z)."""
        pixels: likelihoods.Pixels = self.likelihood(self.decoder(z))
        return pixels

    def log_px_z(
        self,
        x: Shaped[Tensor, "batch height width"],
        z: Float[Tensor, "sample batch dim"],
        *,
        max_decodes: int = MAX_DECODES,
    ) -> Float[Tensor, "sample batch"]:
        """log p(x|z) in nats per image, from one decoder call; without gradients in blocks of at most `max_decodes`."""
        if torch.is_grad_enabled() or z.shape[0] * z.shape[1] <= max_decodes:
            return self.decode(z).log_prob(x)
        columns = []
        for images, draws in zip(x.split(max_decodes), z.split(max_decodes, dim=1), strict=True):
            blocks = draws.split(max(1, max_decodes // len(images)))
            columns.append(torch.cat([self.decode(block).log_prob(images) for block in blocks]))
        return torch.cat(columns, dim=1)

    def terms(self, x: Shaped[Tensor, "batch height width"], noise: Float[Tensor, "sample batch dim"]) -> Terms:
        """Draws z ~ q(z|x) from standard normal noise, with the three log densities of each."""
        q = self.posterior(x)
        z = dist.reparameterise(q, noise)
        return Terms(q, z, self.log_px_z(x, z), self.prior().log_prob(z), q.log_prob(z))

    def log_weights(
        self, x: Shaped[Tensor, "batch height width"], noise: Float[Tensor, "sample batch dim"]
    ) -> Float[Tensor, "sample batch"]:
        """log p(x, z) - log q(z|x): importance weights whose mean is p(x), and draws of the ELBO."""
        terms = self.terms(x, noise)
        return terms.log_px_z + terms.log_pz - terms.log_qz_x

    @torch.no_grad()
    def sample(self, num: int, generator: torch.Generator) -> UInt8[Tensor, "num height width"]:
        """Ancestral sampling: z ~ p(z), then a draw of each pixel from p(x|z), not its mean or mode; as levels."""
        prior, images = self.prior(), []
        for part in range(0, num, MAX_DECODES):
            z = dist.sample(prior, min(MAX_DECODES, num - part), generator)
            images.append(self.decode(z).sample(generator))
        x = torch.cat(images)
        if x.is_floating_point():
            x = (x.clamp(0, 1) * (self.levels - 1)).round().to(torch.uint8)
        return x


def build_vae(config: cfg.ModelConfig, *, image_shape: tuple[int, int], levels: int, generator: torch.Generator) -> VAE:
    """A model with fresh weights, in float32 on the CPU, drawn from `generator` alone.

    Raises:
        ConfigError: a Bernoulli likelihood for images of more than 2 levels.
    """
    if config.likelihood.name == "bernoulli" and levels != 2:
        raise cfg.ConfigError(f"model.likelihood 'bernoulli' needs images of 2 levels, got {levels}")
    seed = int(torch.randint(2**62, (), generator=generator, device=generator.device))
    # torch's constructors draw from the global generator: lend it our seed, then put it back as it was.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        head = _posterior_head(config.posterior, config.latent_dim)
        likelihood = _likelihood(config.likelihood, image_shape, levels)
        num_parameters: int = likelihood.num_parameters  # type: ignore[assignment]
        num_features: int = head.num_features  # type: ignore[assignment]
        return VAE(
            networks.build_encoder(config.network, image_shape, num_features),
            head,
            _prior(config.prior, config.latent_dim, image_shape),
            networks.build_decoder(config.network, config.latent_dim, image_shape, num_parameters),
            likelihood,
            latent_dim=config.latent_dim,
            image_shape=image_shape,
            levels=levels,
        )


def _posterior_head(
    config: cfg.GaussianPosterior | cfg.FullGaussianPosterior | cfg.LaplacePosterior | cfg.FlowPosterior,
    latent_dim: int,
) -> nn.Module:
    match config:
        case cfg.GaussianPosterior():
            return dist.GaussianHead(latent_dim)
        case cfg.FullGaussianPosterior():
            return dist.FullGaussianHead(latent_dim)
        case cfg.LaplacePosterior():
            return dist.LaplaceHead(latent_dim)
        case cfg.FlowPosterior():
            return dist.FlowHead(latent_dim, config.context, config.transforms, config.hidden, config.coupling)


def _prior(
    config: cfg.StandardNormalPrior | cfg.LaplacePrior | cfg.MixturePrior | cfg.VampPrior | cfg.FlowPrior,
    latent_dim: int,
    image_shape: tuple[int, int],
) -> nn.Module:
    match config:
        case cfg.StandardNormalPrior():
            return dist.FixedPrior(latent_dim, Normal)
        case cfg.LaplacePrior():
            return dist.FixedPrior(latent_dim, Laplace)
        case cfg.MixturePrior():
            return dist.MixturePrior(latent_dim, config.components)
        case cfg.VampPrior():
            return dist.VampPrior(image_shape, config.pseudo_inputs)
        case cfg.FlowPrior():
            return dist.FlowPrior(latent_dim, config.transforms, config.hidden)


def _likelihood(
    config: cfg.CategoricalLikelihood | cfg.BernoulliLikelihood | cfg.GaussianLikelihood,
    image_shape: tuple[int, int],
    levels: int,
) -> nn.Module:
    match config:
        case cfg.CategoricalLikelihood():
            return likelihoods.CategoricalLikelihood(image_shape, levels)
        case cfg.BernoulliLikelihood():
            return likelihoods.BernoulliLikelihood(image_shape)
        case cfg.GaussianLikelihood():
            return likelihoods.GaussianLikelihood(image_shape, levels, config.scale, config.learn_scale)
