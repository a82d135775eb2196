"""Networks: one class a kind, which makes an encoder (image -> features) and a decoder (z -> parameters of pixels).

A new kind is a class of `Network` and a line in NETWORKS; its options are a class in `pipeline.config.options`. The
tests in `tests/pipeline/model/test_networks.py` run over every registered kind.

An encoder maps grey values [..., height, width] to [..., feature]; a decoder [..., dim] to [..., pixel, parameter].
Torch's own initialisation draws the weights from the global generator: `vae.build_vae` builds them inside a fork of it.
Convolutions run with the channels last in memory: faster than channels first, and the decoder's output then has the
parameters of a pixel side by side without a copy.
"""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from pipeline import config as cfg

ImageShape = tuple[int, int]


def _layers(sizes: Sequence[int]) -> list[nn.Module]:
    """Linear layers with a GELU between each two; a single one for two sizes."""
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(sizes):
        layers += [nn.GELU(), nn.Linear(before, after)]
    return layers[1:]


class DenseEncoder(nn.Sequential):
    """Linear layers with GELUs between them; without a hidden layer an affine map of the pixels."""

    def __init__(self, image_shape: ImageShape, hidden: Sequence[int], num_features: int) -> None:
        super().__init__(nn.Flatten(-2), *_layers((math.prod(image_shape), *hidden, num_features)))


class DenseDecoder(nn.Sequential):
    """Linear layers with GELUs between them; without a hidden layer W z + b (`linear.weight`, `linear.bias`)."""

    def __init__(self, latent_dim: int, hidden: Sequence[int], image_shape: ImageShape, num_parameters: int) -> None:
        num_pixels = math.prod(image_shape)
        layers = _layers((latent_dim, *hidden, num_pixels * num_parameters))
        super().__init__(*layers, nn.Unflatten(-1, (num_pixels, num_parameters)))

    @property
    def linear(self) -> nn.Linear:
        """The layer that makes the pixels."""
        layer = self[-2]
        assert isinstance(layer, nn.Linear)
        return layer


class CNNEncoder(nn.Module):
    """Convolutions with three halvings, stride 2: 28 -> 14 -> 7 -> 4 (odd sizes round up: every image size works)."""

    def __init__(self, image_shape: ImageShape, channels: int, num_features: int) -> None:
        super().__init__()
        c = channels
        self.convolutions = nn.Sequential(
            nn.Conv2d(1, c, 3, stride=2, padding=1),
            nn.GELU(),
            nn.Conv2d(c, c, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(c, 2 * c, 3, stride=2, padding=1),
            nn.GELU(),
            nn.Conv2d(2 * c, 2 * c, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(2 * c, 2 * c, 3, stride=2, padding=1),
            nn.GELU(),
        ).to(memory_format=torch.channels_last)
        smallest = _halvings(image_shape)[-1]
        self.features = nn.Linear(2 * c * math.prod(smallest), num_features)

    def forward(self, x: Float[Tensor, "*batch height width"]) -> Float[Tensor, "*batch feature"]:
        batch = x.shape[:-2]
        maps = self.convolutions(x.reshape(-1, 1, *x.shape[-2:]))
        features: Tensor = self.features(maps.flatten(1))
        return features.reshape(*batch, -1)


class CNNDecoder(nn.Module):
    """The encoder's mirror, 4 -> 7 -> 14 -> 28: transposed convolutions whose output padding restores its sizes."""

    def __init__(self, latent_dim: int, image_shape: ImageShape, channels: int, num_parameters: int) -> None:
        super().__init__()
        c = channels
        full, half, quarter, smallest = _halvings(image_shape)
        self.features = nn.Sequential(nn.Linear(latent_dim, 2 * c * math.prod(smallest)), nn.GELU())
        self.map_shape = (2 * c, *smallest)
        self.convolutions = nn.Sequential(
            _doubling(2 * c, 2 * c, quarter),
            nn.GELU(),
            nn.Conv2d(2 * c, 2 * c, 3, padding=1),
            nn.GELU(),
            _doubling(2 * c, c, half),
            nn.GELU(),
            nn.Conv2d(c, c, 3, padding=1),
            nn.GELU(),
            _doubling(c, num_parameters, full),
        ).to(memory_format=torch.channels_last)

    def forward(self, z: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch pixel parameter"]:
        batch = z.shape[:-1]
        maps = self.features(z.reshape(-1, z.shape[-1])).unflatten(-1, self.map_shape)
        pixels: Tensor = self.convolutions(maps).flatten(-2).transpose(-2, -1)
        return pixels.unflatten(0, batch) if batch else pixels.squeeze(0)


def _halvings(size: ImageShape) -> list[ImageShape]:
    """The image's size and its three halvings, rounded up."""
    sizes = [size]
    for _ in range(3):
        sizes.append(((sizes[-1][0] + 1) // 2, (sizes[-1][1] + 1) // 2))
    return sizes


def _doubling(before: int, after: int, size: ImageShape) -> nn.ConvTranspose2d:
    """A transposed convolution that undoes a halving: n -> 2n - 1 + output_padding (1 for even sizes, 0 for odd)."""
    padding = (1 - size[0] % 2, 1 - size[1] % 2)
    return nn.ConvTranspose2d(before, after, 3, stride=2, padding=1, output_padding=padding)


class Network(ABC):
    """A kind of network: makes an encoder and a decoder, with weights from torch's global generator."""

    @staticmethod
    @abstractmethod
    def encoder(options: Any, image_shape: ImageShape, num_features: int) -> nn.Module:
        """Grey values [..., height, width] -> [..., feature]."""

    @staticmethod
    @abstractmethod
    def decoder(options: Any, latent_dim: int, image_shape: ImageShape, num_parameters: int) -> nn.Module:
        """z [..., dim] -> [..., pixel, parameter]."""


class MLP(Network):
    """Dense layers; the decoder has the encoder's hidden sizes in reverse."""

    @staticmethod
    def encoder(options: cfg.MLPConfig, image_shape: ImageShape, num_features: int) -> DenseEncoder:
        return DenseEncoder(image_shape, options.hidden, num_features)

    @staticmethod
    def decoder(options: cfg.MLPConfig, latent_dim: int, image_shape: ImageShape, num_parameters: int) -> DenseDecoder:
        return DenseDecoder(latent_dim, options.hidden[::-1], image_shape, num_parameters)


class CNN(Network):
    """Convolutions, for images of any size."""

    @staticmethod
    def encoder(options: cfg.CNNConfig, image_shape: ImageShape, num_features: int) -> CNNEncoder:
        return CNNEncoder(image_shape, options.channels, num_features)

    @staticmethod
    def decoder(options: cfg.CNNConfig, latent_dim: int, image_shape: ImageShape, num_parameters: int) -> CNNDecoder:
        return CNNDecoder(latent_dim, image_shape, options.channels, num_parameters)


class Linear(Network):
    """One affine map each way: with a Gaussian likelihood and prior, probabilistic PCA."""

    @staticmethod
    def encoder(options: cfg.LinearConfig, image_shape: ImageShape, num_features: int) -> DenseEncoder:
        return DenseEncoder(image_shape, (), num_features)

    @staticmethod
    def decoder(
        options: cfg.LinearConfig, latent_dim: int, image_shape: ImageShape, num_parameters: int
    ) -> DenseDecoder:
        return DenseDecoder(latent_dim, (), image_shape, num_parameters)


NETWORKS: dict[type[cfg.Frozen], type[Network]] = {
    cfg.MLPConfig: MLP,
    cfg.CNNConfig: CNN,
    cfg.LinearConfig: Linear,
}
"""Every kind of network, by the class of its options."""


def build_encoder(options: cfg.Frozen, image_shape: ImageShape, num_features: int) -> nn.Module:
    """The encoder of the network that the options describe."""
    return NETWORKS[type(options)].encoder(options, image_shape, num_features)


def build_decoder(options: cfg.Frozen, latent_dim: int, image_shape: ImageShape, num_parameters: int) -> nn.Module:
    """The decoder of the network that the options describe."""
    return NETWORKS[type(options)].decoder(options, latent_dim, image_shape, num_parameters)
