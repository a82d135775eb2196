"""Networks: what holds for every registered one, broken ones that the checks find, and the layers of each."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from conformance import networks as conformance
from torch import Tensor, nn

from pipeline import config as cfg
from pipeline.config import CNNConfig, LinearConfig, MLPConfig
from pipeline.model.networks import CNN, MLP, NETWORKS, DenseEncoder, Network, build_decoder, build_encoder

Check = Callable[[type[Network], Any], None]


# --- every network --------------------------------------------------------------------------------------------------


def test_every_network_of_the_configuration_is_registered() -> None:
    assert set(NETWORKS) == set(cfg.ModelConfig.model_fields["network"].annotation.__args__)  # type: ignore[union-attr]


@pytest.mark.parametrize("check", conformance.CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("options", NETWORKS, ids=lambda options: options.__name__)
def test_every_network_conforms(options: type[cfg.Frozen], check: Check) -> None:
    check(NETWORKS[options], SMALL.get(options, options)())


SMALL: dict[type[cfg.Frozen], Callable[[], cfg.Frozen]] = {
    MLPConfig: lambda: MLPConfig(hidden=(9, 5)),
    CNNConfig: lambda: CNNConfig(channels=2),
}
"""Options that make a network small, where its defaults are large."""


# --- broken networks, which the checks must find --------------------------------------------------------------------


def with_encoder(make: Callable[[tuple[int, int], int], nn.Module]) -> type[Network]:
    """The multilayer perceptron with another encoder."""

    class Other(MLP):
        @staticmethod
        def encoder(options: Any, image_shape: tuple[int, int], num_features: int) -> Any:
            return make(image_shape, num_features)

    return Other


class UnusedLayer(DenseEncoder):
    def __init__(self, image_shape: tuple[int, int], num_features: int) -> None:
        super().__init__(image_shape, (5,), num_features)
        self.unused = nn.Linear(3, 3)

    def forward(self, input: Tensor) -> Tensor:
        for layer in list(self)[:-1]:
            input = layer(input)
        return input


class EvenSizesOnly(nn.Module):
    """Rounds halves down, so the last row of an image with an odd side is lost."""

    def __init__(self, image_shape: tuple[int, int], num_features: int) -> None:
        super().__init__()
        self.features = nn.Linear(max(1, image_shape[0] // 2) * max(1, image_shape[1] // 2), num_features)

    def forward(self, x: Tensor) -> Tensor:
        height, width = (max(1, side // 2) for side in x.shape[-2:])
        return self.features(x[..., :height, :width].flatten(-2))


def normalised_over_the_batch(image_shape: tuple[int, int], num_features: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(1), nn.Linear(math.prod(image_shape), num_features), nn.BatchNorm1d(num_features))


def flattening_all_axes_but_one(image_shape: tuple[int, int], num_features: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(1), nn.Linear(math.prod(image_shape), num_features))


class OwnGenerator(DenseEncoder):
    def __init__(self, image_shape: tuple[int, int], num_features: int) -> None:
        super().__init__(image_shape, (), num_features)
        with torch.no_grad():
            self[-1].weight.normal_(generator=torch.Generator().manual_seed(torch.seed() % 2**31))


@pytest.mark.parametrize(
    ("make", "check"),
    [
        (UnusedLayer, conformance.gradients_reach_every_weight),
        (EvenSizesOnly, conformance.every_pixel_and_every_dimension_matters),
        (normalised_over_the_batch, conformance.images_of_a_batch_do_not_meet),
        (OwnGenerator, conformance.weights_come_from_torchs_global_generator),
    ],
)
def test_a_broken_network_does_not_conform(make: Callable[..., nn.Module], check: Check) -> None:
    with pytest.raises(AssertionError):
        check(with_encoder(make), MLPConfig(hidden=(5,)))


def test_a_network_that_takes_one_leading_axis_does_not_conform() -> None:
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        conformance.shapes_fit_images_of_any_size(with_encoder(flattening_all_axes_but_one), MLPConfig(hidden=(5,)))


def test_a_decoder_that_crops_odd_sizes_does_not_conform() -> None:
    class Cropping(CNN):
        @staticmethod
        def decoder(options: Any, latent_dim: int, image_shape: tuple[int, int], num_parameters: int) -> Any:
            even = (image_shape[0] // 2 * 2 or 1, image_shape[1] // 2 * 2 or 1)
            return CNN.decoder(options, latent_dim, even, num_parameters)

    with pytest.raises(AssertionError):
        conformance.shapes_fit_images_of_any_size(Cropping, CNNConfig(channels=2))


# --- single networks ------------------------------------------------------------------------------------------------


def count(*modules: nn.Module) -> int:
    return sum(p.numel() for module in modules for p in module.parameters())


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
    encoder, decoder = (
        build_encoder(MLPConfig(hidden=(9, 5)), (4, 4), 6),
        build_decoder(MLPConfig(hidden=(9, 5)), 3, (4, 4), 2),
    )
    sizes = [[(m.in_features, m.out_features) for m in net if isinstance(m, nn.Linear)] for net in (encoder, decoder)]
    assert sizes == [[(16, 9), (9, 5), (5, 6)], [(3, 5), (5, 9), (9, 32)]]
    assert sum(isinstance(module, nn.GELU) for module in encoder) == 2


def test_linear_network_is_affine() -> None:
    decoder = build_decoder(LinearConfig(), 3, (2, 2), 1)
    z = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    expected = z @ decoder.linear.weight.T + decoder.linear.bias
    torch.testing.assert_close(decoder(z).squeeze(-1), expected)
