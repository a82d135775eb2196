"""Likelihoods p(x|z): one class a kind, from the decoder's output to the log density, the mean and draws of an image.

A new kind is a class of `Likelihood` (with the `Pixels` that it gives) and a line in LIKELIHOODS; its options are a
class in `pipeline.config.options`. The tests in `tests/pipeline/model/test_likelihoods.py` run over every registered
kind.

The parameters of a pixel are the LAST axis of the decoder's output: the categorical cross-entropy then runs along
contiguous memory, twice as fast as with the classes before the pixels.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float, Integer, Shaped
from torch import Tensor, nn
from torch.nn import functional

from pipeline import config as cfg
from pipeline.config import ConfigError

ImageShape = tuple[int, int]


class Pixels:
    """p(x|z) with independent pixels; `parameters` has shape [..., pixel, parameter]."""

    def __init__(self, parameters: Float[Tensor, "*batch pixel parameter"], image_shape: ImageShape) -> None:
        self.parameters, self.image_shape = parameters, image_shape

    def log_prob(self, x: Shaped[Tensor, "*batch height width"]) -> Float[Tensor, "*any"]:
        """log p(x|z) in nats per image; the leading axes of x broadcast against those of the parameters."""
        return self._log_prob(x.flatten(-2)).sum(-1)

    @property
    def mean(self) -> Float[Tensor, "*batch height width"]:
        """E[x|z] in grey values: 0 is black, 1 is white."""
        return self._mean().reshape(*self.parameters.shape[:-2], *self.image_shape)

    def sample(self, generator: torch.Generator) -> Shaped[Tensor, "*batch height width"]:
        """A draw of each pixel: uint8 levels, or grey values from a Gaussian likelihood."""
        return self._sample(generator).reshape(*self.parameters.shape[:-2], *self.image_shape)

    def _log_prob(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def _mean(self) -> Tensor:
        raise NotImplementedError

    def _sample(self, generator: torch.Generator) -> Tensor:
        raise NotImplementedError


class CategoricalPixels(Pixels):
    """Pixels with a probability for each grey level: `parameters` are their logits, x holds levels."""

    @cached_property
    def log_probs(self) -> Float[Tensor, "*batch pixel level"]:
        """The levels' log-probabilities; kept, because prior Monte Carlo scores many images under one decoding."""
        return self.parameters.log_softmax(-1)

    def _log_prob(self, x: Integer[Tensor, "*batch pixel"]) -> Tensor:
        shape = torch.broadcast_shapes(x.shape, self.log_probs.shape[:-1])
        index = x.long().expand(shape).unsqueeze(-1)
        return self.log_probs.expand(*shape, -1).gather(-1, index).squeeze(-1)

    def _mean(self) -> Tensor:
        levels = self.parameters.shape[-1]
        return self.log_probs.exp() @ torch.linspace(0, 1, levels).to(self.parameters)

    def _sample(self, generator: torch.Generator) -> Tensor:
        probs = self.log_probs.exp()
        draws = torch.multinomial(probs.flatten(0, -2), 1, generator=generator)
        return draws.view(probs.shape[:-1]).to(torch.uint8)


class BernoulliPixels(Pixels):
    """Black or white pixels: `parameters` are logits of white, x holds 0 and 1."""

    def _log_prob(self, x: Shaped[Tensor, "*batch pixel"]) -> Tensor:
        logits = self.parameters.squeeze(-1)
        logits, target = torch.broadcast_tensors(logits, x.to(logits.dtype))
        return -functional.binary_cross_entropy_with_logits(logits, target, reduction="none")

    def _mean(self) -> Tensor:
        return self.parameters.squeeze(-1).sigmoid()

    def _sample(self, generator: torch.Generator) -> Tensor:
        return torch.bernoulli(self._mean(), generator=generator).to(torch.uint8)


class GaussianPixels(Pixels):
    """Grey values with Gaussian noise: `parameters` are means, `scale` is the standard deviation of every pixel.

    x holds grey values in [0, 1], or integer levels that stand for them.
    """

    def __init__(self, parameters: Tensor, image_shape: ImageShape, scale: Float[Tensor, ""], levels: int) -> None:
        super().__init__(parameters, image_shape)
        self.scale, self.levels = scale, levels

    def log_prob(self, x: Shaped[Tensor, "*batch height width"]) -> Float[Tensor, "*any"]:
        """log p(x|z), from the squared error of the whole image: the scale is not spread over the pixels."""
        pixels = x.flatten(-2)
        grey = pixels if x.is_floating_point() else pixels.to(self.parameters.dtype) / (self.levels - 1)
        squared_error = (grey - self._mean()).square().sum(-1)
        constant = pixels.shape[-1] * (self.scale.log() + 0.5 * math.log(2 * math.pi))
        return -0.5 * squared_error / self.scale.square() - constant

    def _mean(self) -> Tensor:
        return self.parameters.squeeze(-1)

    def _sample(self, generator: torch.Generator) -> Tensor:
        loc = self._mean()
        return loc + self.scale * torch.randn(loc.shape, generator=generator, dtype=loc.dtype, device=loc.device)


class Likelihood(nn.Module):
    """A kind of likelihood: called with the decoder's output [..., pixel, parameter], it gives p(x|z)."""

    num_parameters: int
    """Numbers that it needs from the decoder for each pixel."""

    def __init__(self, image_shape: ImageShape, num_parameters: int) -> None:
        super().__init__()
        self.image_shape, self.num_parameters = image_shape, num_parameters

    @classmethod
    def from_options(cls, options: Any, image_shape: ImageShape, levels: int) -> Likelihood:
        """The likelihood that the options describe, for images of `levels` grey levels.

        Raises:
            ConfigError: it cannot score images of so many levels.
        """
        raise NotImplementedError


class CategoricalLikelihood(Likelihood):
    """A probability for each grey level of each pixel."""

    def __init__(self, image_shape: ImageShape, levels: int) -> None:
        super().__init__(image_shape, levels)

    @classmethod
    def from_options(cls, options: cfg.CategoricalLikelihood, image_shape: ImageShape, levels: int) -> Likelihood:
        return cls(image_shape, levels)

    def forward(self, parameters: Float[Tensor, "*batch pixel parameter"]) -> Pixels:
        return CategoricalPixels(parameters, self.image_shape)


class BernoulliLikelihood(Likelihood):
    """A probability of white for each pixel, for images of 2 levels."""

    def __init__(self, image_shape: ImageShape) -> None:
        super().__init__(image_shape, 1)

    @classmethod
    def from_options(cls, options: cfg.BernoulliLikelihood, image_shape: ImageShape, levels: int) -> Likelihood:
        if levels != 2:
            raise ConfigError(f"model.likelihood 'bernoulli' needs images of 2 levels, got {levels}")
        return cls(image_shape)

    def forward(self, parameters: Float[Tensor, "*batch pixel parameter"]) -> Pixels:
        return BernoulliPixels(parameters, self.image_shape)


class GaussianLikelihood(Likelihood):
    """A mean for each pixel and one standard deviation for all, in grey values, fixed or learnt from a given start."""

    log_scale: Tensor

    def __init__(self, image_shape: ImageShape, levels: int, scale: float, learn_scale: bool) -> None:
        super().__init__(image_shape, 1)
        self.levels = levels
        log_scale = torch.tensor(math.log(scale), dtype=torch.float64).to(torch.get_default_dtype())
        if learn_scale:
            self.log_scale = nn.Parameter(log_scale)
        else:
            self.register_buffer("log_scale", log_scale)

    @classmethod
    def from_options(cls, options: cfg.GaussianLikelihood, image_shape: ImageShape, levels: int) -> Likelihood:
        return cls(image_shape, levels, options.scale, options.learn_scale)

    @property
    def scale(self) -> Float[Tensor, ""]:
        return self.log_scale.exp()

    def forward(self, parameters: Float[Tensor, "*batch pixel parameter"]) -> Pixels:
        return GaussianPixels(parameters, self.image_shape, self.scale, self.levels)


LIKELIHOODS: dict[type[cfg.Frozen], type[Likelihood]] = {
    cfg.CategoricalLikelihood: CategoricalLikelihood,
    cfg.BernoulliLikelihood: BernoulliLikelihood,
    cfg.GaussianLikelihood: GaussianLikelihood,
}
"""Every kind of likelihood, by the class of its options."""


def build_likelihood(options: cfg.Frozen, image_shape: ImageShape, levels: int) -> Likelihood:
    """The likelihood that the options describe, for images of `levels` grey levels."""
    return LIKELIHOODS[type(options)].from_options(options, image_shape, levels)
