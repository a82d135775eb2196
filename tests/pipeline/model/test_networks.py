from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

from pipeline.config import CNNConfig, LinearConfig, MLPConfig
from pipeline.model.networks import build_decoder, build_encoder

CONFIGS: list[Any] = [MLPConfig(hidden=(9, 5)), CNNConfig(channels=2), LinearConfig()]


def count(*modules: nn.Module) -> int:
    return sum(p.numel() for module in modules for p in module.parameters())


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.name)
@pytest.mark.parametrize("image_shape", [(8, 8), (28, 28), (1, 1), (5, 7), (9, 16), (2, 3)])
@pytest.mark.parametrize("batch", [(3,), (2, 3)])
def test_shapes(config: Any, image_shape: tuple[int, int], batch: tuple[int, ...]) -> None:
    encoder = build_encoder(config, image_shape, 6)
    decoder = build_decoder(config, 4, image_shape, 5)
    assert encoder(torch.rand(*batch, *image_shape)).shape == (*batch, 6)
    assert decoder(torch.randn(*batch, 4)).shape == (*batch, math.prod(image_shape), 5)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.name)
def test_leading_axes_are_a_loop(config: Any) -> None:
    decoder = build_decoder(config, 4, (5, 7), 3)
    z = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))
    together = decoder(z)
    for sample in range(2):
        for image in range(3):
            torch.testing.assert_close(together[sample, image], decoder(z[sample, image]), rtol=1e-4, atol=1e-6)


def test_the_course_cnn_has_its_number_of_parameters() -> None:
    """The VAE of the UvA deep learning course: 28 x 28, 16 levels, 32 channels, 20 latent dimensions."""
    config = CNNConfig(channels=32)
    assert count(build_encoder(config, (28, 28), 40), build_decoder(config, 20, (28, 28), 16)) == 270_616


def test_cnn_sizes_run_28_14_7_4_and_back() -> None:
    encoder, decoder = build_encoder(CNNConfig(channels=2), (28, 28), 6), build_decoder(CNNConfig(), 4, (28, 28), 16)
    sides: list[int] = []
    for module in (*encoder.modules(), *decoder.modules()):
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            module.register_forward_hook(lambda _module, _inputs, output: sides.append(output.shape[-1]))
    encoder(torch.rand(1, 28, 28))
    decoder(torch.randn(1, 4))
    assert sides == [14, 14, 7, 7, 4, 7, 7, 14, 14, 28]


def test_mlp_mirrors_its_hidden_layers() -> None:
    encoder, decoder = build_encoder(CONFIGS[0], (4, 4), 6), build_decoder(CONFIGS[0], 3, (4, 4), 2)
    sizes = [[(m.in_features, m.out_features) for m in net if isinstance(m, nn.Linear)] for net in (encoder, decoder)]
    assert sizes == [[(16, 9), (9, 5), (5, 6)], [(3, 5), (5, 9), (9, 32)]]
    assert sum(isinstance(module, nn.GELU) for module in encoder) == 2


def test_linear_network_is_affine() -> None:
    decoder = build_decoder(LinearConfig(), 3, (2, 2), 1)
    z = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    expected = z @ decoder.linear.weight.T + decoder.linear.bias
    torch.testing.assert_close(decoder(z).squeeze(-1), expected)
