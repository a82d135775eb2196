"""What holds for every network: each check raises AssertionError where one breaks it.

A test runs `CHECKS` over `pipeline.model.networks.NETWORKS`, so a network is tested by being registered. A check takes
the network and its options.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.model.networks import Network

SIZES = ((8, 8), (28, 28), (1, 1), (5, 7), (9, 16), (2, 3))
"""Even, odd, not square, down to one pixel."""
FEATURES, DIM, PARAMETERS = 6, 4, 3


def encoder_of(network: type[Network], options: Any, size: tuple[int, int]) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return network.encoder(options, size, FEATURES).double()


def decoder_of(network: type[Network], options: Any, size: tuple[int, int]) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return network.decoder(options, DIM, size, PARAMETERS).double()


def random(*shape: int, seed: int = 1) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def shapes_fit_images_of_any_size(network: type[Network], options: Any) -> None:
    for size in SIZES:
        encoder, decoder = encoder_of(network, options, size), decoder_of(network, options, size)
        for batch in ((3,), (2, 3)):
            assert encoder(random(*batch, *size)).shape == (*batch, FEATURES)
            assert decoder(random(*batch, DIM)).shape == (*batch, math.prod(size), PARAMETERS)


def images_of_a_batch_do_not_meet(network: type[Network], options: Any) -> None:
    """In training mode too: an image's output is the same whatever the others of its batch are."""
    encoder, decoder = encoder_of(network, options, (5, 7)).train(), decoder_of(network, options, (5, 7)).train()
    x, z = random(4, 5, 7), random(4, DIM)
    for module, inputs in ((encoder, x), (decoder, z)):
        together = module(inputs)
        for index in range(4):
            others = random(*inputs.shape, seed=9)
            others[index] = inputs[index]
            torch.testing.assert_close(together[index], module(others)[index], rtol=1e-9, atol=1e-12)


def leading_axes_are_a_loop(network: type[Network], options: Any) -> None:
    encoder, decoder = encoder_of(network, options, (5, 7)), decoder_of(network, options, (5, 7))
    x, z = random(2, 3, 5, 7), random(2, 3, DIM)
    for module, inputs in ((encoder, x), (decoder, z)):
        together = module(inputs)
        for index in range(2):
            torch.testing.assert_close(together[index], module(inputs[index]), rtol=1e-9, atol=1e-12)


def gradients_reach_every_weight(network: type[Network], options: Any) -> None:
    encoder, decoder = encoder_of(network, options, (9, 16)), decoder_of(network, options, (9, 16))
    for module, inputs in ((encoder, random(8, 9, 16)), (decoder, random(8, DIM))):
        module(inputs).square().sum().backward()
        for name, weight in module.named_parameters():
            assert weight.grad is not None, name
            assert bool(weight.grad.isfinite().all()), name
            assert bool((weight.grad != 0).any()), name


def every_pixel_and_every_dimension_matters(network: type[Network], options: Any) -> None:
    """Each input has a gradient in each output: no row is cut off, no pixel lies beyond the network's reach."""
    for size in ((5, 7), (9, 16)):
        encoder, decoder = encoder_of(network, options, size), decoder_of(network, options, size)
        x, z = random(1, *size).requires_grad_(), random(1, DIM).requires_grad_()
        (gradient,) = torch.autograd.grad(encoder(x).square().sum(), x)
        assert bool((gradient != 0).all())
        outputs = decoder(z)
        for output in outputs[0].flatten()[:: max(1, outputs[0].numel() // 40)]:
            (gradient,) = torch.autograd.grad(output, z, retain_graph=True)
            assert bool((gradient != 0).any())
        (gradient,) = torch.autograd.grad(outputs.square().sum(), z)
        assert bool((gradient != 0).all())


def weights_come_from_torchs_global_generator(network: type[Network], options: Any) -> None:
    """Whoever seeds it decides all weights: `build_vae` lends it a seed of its own."""
    for make in (encoder_of, decoder_of):
        first, again = (make(network, options, (5, 7)).state_dict() for _ in range(2))
        assert all(torch.equal(first[name], again[name]) for name in first)


CHECKS = (
    shapes_fit_images_of_any_size,
    images_of_a_batch_do_not_meet,
    leading_axes_are_a_loop,
    gradients_reach_every_weight,
    every_pixel_and_every_dimension_matters,
    weights_come_from_torchs_global_generator,
)
