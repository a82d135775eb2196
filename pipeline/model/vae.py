"""The variational autoencoder: encoder and posterior q(z|x), prior p(z), decoder and likelihood p(x|z)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float, Shaped, UInt8
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.utils.checkpoint import checkpoint

from pipeline import config as cfg
from pipeline.model.likelihoods import Likelihood, Pixels, build_likelihood
from pipeline.model.networks import build_decoder, build_encoder
from pipeline.model.posteriors import PosteriorHead, build_posterior
from pipeline.model.priors import Prior, build_prior
from pipeline.probability import distributions as dist
from pipeline.probability import sampling
from pipeline.probability.names import Scheme

MAX_DECODES = 4096
"""Images decoded at once where no gradient is kept: 28 x 28 pixels of 16 levels are then about 0.2 GB of logits."""


class Terms(NamedTuple):
    """Draws z ~ q(z|x), one in every row, with their log densities in nats per image."""

    q: Distribution
    z: Float[Tensor, "sample batch dim"]
    log_px_z: Float[Tensor, "sample batch"]
    log_pz: Float[Tensor, "sample batch"]
    log_qz_x: Float[Tensor, "sample batch"]


class VAE(nn.Module):
    """A variational autoencoder, put together from its five parts.

    It takes images as uint8 levels [..., height, width], or as floats that are grey values in [0, 1] already.
    """

    def __init__(
        self,
        encoder: nn.Module,
        posterior_head: PosteriorHead,
        prior_module: Prior,
        decoder: nn.Module,
        likelihood: Likelihood,
        *,
        latent_dim: int,
        image_shape: tuple[int, int],
        levels: int,
    ) -> None:
        super().__init__()
        self.encoder, self.posterior_head, self.prior_module = encoder, posterior_head, prior_module
        self.decoder, self.likelihood = decoder, likelihood
        self.latent_dim, self.image_shape, self.levels = latent_dim, image_shape, levels
        self.max_decodes: int | None = None
        """Images encoded or decoded at once, where memory ran out: then with gradients too, which are recomputed block
        by block. The results are the same to rounding."""

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
        """Turn levels into grey values in [0, 1]; grey values are passed on."""
        return x if x.is_floating_point() else x.to(self.dtype) / (self.levels - 1)

    def posterior(self, x: Shaped[Tensor, "batch height width"]) -> Distribution:
        """The posterior q(z|x), batch shape [batch], event shape [dim]."""
        posterior: Distribution = self.posterior_head(self.encode(x))
        return posterior

    def encode(self, x: Shaped[Tensor, "batch height width"]) -> Float[Tensor, "batch feature"]:
        """The features from which the posterior's head makes q(z|x)."""
        grey = self.grey(x)
        blocks = grey.split(self.max_decodes) if self.max_decodes else (grey,)
        features = [self._in_little_memory(self.encoder, block) for block in blocks]
        return features[0] if len(features) == 1 else torch.cat(features)

    def _in_little_memory(self, function: Callable[..., Tensor], *arguments: Tensor) -> Tensor:
        """A block's value; its gradient, where memory ran out, by computing the block once more."""
        if self.max_decodes is None or not torch.is_grad_enabled():
            return function(*arguments)
        value: Tensor = checkpoint(function, *arguments, use_reentrant=False, preserve_rng_state=False)
        return value

    def prior(self) -> Distribution:
        """The prior p(z), batch shape [], event shape [dim]."""
        prior: Distribution = self.prior_module(self.posterior)
        return prior

    def decode(self, z: Float[Tensor, "*batch dim"]) -> Pixels:
        """The likelihood p(x|z)."""
        pixels: Pixels = self.likelihood(self.decoder(z))
        return pixels

    def noise(
        self, scheme: Scheme, num_samples: int, batch: int, generator: torch.Generator
    ) -> Float[Tensor, "sample batch dim"]:
        """Standard normal noise for `num_samples` draws of z per image, in the model's type and on its device."""
        return sampling.draw(
            scheme, num_samples, batch, self.latent_dim, generator=generator, dtype=self.dtype, device=self.device
        )

    def log_px_z(
        self,
        x: Shaped[Tensor, "batch height width"],
        z: Float[Tensor, "sample batch dim"],
        *,
        max_decodes: int = MAX_DECODES,
    ) -> Float[Tensor, "sample batch"]:
        """log p(x|z) in nats per image, from one decoder call; without gradients in blocks of at most `max_decodes`."""
        limit = min(max_decodes, self.max_decodes or max_decodes)
        whole = torch.is_grad_enabled() and self.max_decodes is None
        if whole or z.shape[0] * z.shape[1] <= limit:
            return self._score(z, x)
        columns = []
        for images, draws in zip(x.split(limit), z.split(limit, dim=1), strict=True):
            blocks = draws.split(max(1, limit // len(images)))
            columns.append(torch.cat([self._in_little_memory(self._score, block, images) for block in blocks]))
        return torch.cat(columns, dim=1)

    def _score(self, z: Tensor, x: Tensor) -> Tensor:
        return self.decode(z).log_prob(x)

    def terms(self, x: Shaped[Tensor, "batch height width"], noise: Float[Tensor, "sample batch dim"]) -> Terms:
        """Make draws z ~ q(z|x) from standard normal noise, with the three log densities of each."""
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
        ConfigError: the likelihood cannot score images of so many levels.
    """
    seed = int(torch.randint(2**62, (), generator=generator, device=generator.device))
    # torch's constructors draw from the global generator: lend it our seed, then put it back as it was.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        # The order decides which draws each part gets: head, encoder, prior, decoder.
        head = build_posterior(config.posterior, config.latent_dim)
        likelihood = build_likelihood(config.likelihood, image_shape, levels)
        return VAE(
            build_encoder(config.network, image_shape, head.num_features),
            head,
            build_prior(config.prior, config.latent_dim, image_shape),
            build_decoder(config.network, config.latent_dim, image_shape, likelihood.num_parameters),
            likelihood,
            latent_dim=config.latent_dim,
            image_shape=image_shape,
            levels=levels,
        )
