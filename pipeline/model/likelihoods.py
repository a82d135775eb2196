"""Likelihoods p(x|z): from the decoder's output to the log density, the mean and draws of an image.

The parameters of a pixel are the LAST axis of the decoder's output: the categorical cross-entropy then runs along
contiguous memory, twice as fast as with the classes before the pixels.
"""

from __future__ import annotations

import math
from functools import cached_property

import torch
from jaxtyping import Float, Integer, Shaped
from torch import Tensor, nn
from torch.nn import functional


class Pixels:
    """p(x|z): independent pixels. `parameters` has shape [..., pixel, parameter]."""

    def __init__(self, parameters: Float[Tensor, "*batch pixel parameter"], image_shape: tuple[int, int]) -> None:
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
    """`parameters` are logits of the grey levels; x holds levels."""

    @cached_property
    def log_probs(self) -> Float[Tensor, "*batch pixel level"]:
        """Kept, because prior Monte Carlo scores many images under one decoding."""
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
    """`parameters` are logits of white; x holds 0 and 1."""

    def _log_prob(self, x: Shaped[Tensor, "*batch pixel"]) -> Tensor:
        logits = self.parameters.squeeze(-1)
        logits, target = torch.broadcast_tensors(logits, x.to(logits.dtype))
        return -functional.binary_cross_entropy_with_logits(logits, target, reduction="none")

    def _mean(self) -> Tensor:
        return self.parameters.squeeze(-1).sigmoid()

    def _sample(self, generator: torch.Generator) -> Tensor:
        return torch.bernoulli(self._mean(), generator=generator).to(torch.uint8)


class GaussianPixels(Pixels):
    """`parameters` are means of grey values, `scale` is the standard deviation of every pixel.

    x holds grey values in [0, 1], or integer levels that stand for them.
    """

    def __init__(self, parameters: Tensor, image_shape: tuple[int, int], scale: Float[Tensor, ""], levels: int) -> None:
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


class CategoricalLikelihood(nn.Module):
    def __init__(self, image_shape: tuple[int, int], levels: int) -> None:
        super().__init__()
        self.image_shape, self.num_parameters = image_shape, levels

    def forward(self, parameters: Float[Tensor, "*batch pixel parameter"]) -> Pixels:
        return CategoricalPixels(parameters, self.image_shape)


class BernoulliLikelihood(nn.Module):
    def __init__(self, image_shape: tuple[int, int]) -> None:
        super().__init__()
        self.image_shape, self.num_parameters = image_shape, 1

    def forward(self, parameters: Float[Tensor, "*batch pixel parameter"]) -> Pixels:
        return BernoulliPixels(parameters, self.image_shape)


class GaussianLikelihood(nn.Module):
    """One standard deviation for all pixels, in grey values; fixed, or learnt from the given start."""

    log_scale: Tensor

    def __init__(self, image_shape: tuple[int, int], levels: int, scale: float, learn_scale: bool) -> None:
        super().__init__()
        self.image_shape, self.levels, self.num_parameters = image_shape, levels, 1
        log_scale = torch.tensor(math.log(scale), dtype=torch.float64).to(torch.get_default_dtype())
        if learn_scale:
            self.log_scale = nn.Parameter(log_scale)
        else:
            self.register_buffer("log_scale", log_scale)

    @property
    def scale(self) -> Float[Tensor, ""]:
        return self.log_scale.exp()

    def forward(self, parameters: Float[Tensor, "*batch pixel parameter"]) -> Pixels:
        return GaussianPixels(parameters, self.image_shape, self.scale, self.levels)
