"""What holds for every likelihood: each check raises AssertionError where one breaks it.

A test runs `CHECKS` over `pipeline.model.likelihoods.LIKELIHOODS`, so a likelihood is tested by being registered. A
check takes a function that makes the likelihood for an image shape; images have 2 levels, which every kind can score.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from pipeline.model.likelihoods import Likelihood, Pixels

LEVELS = 2
SHAPE = (2, 3)
GRID = torch.linspace(-40.0, 40.0, 160_001, dtype=torch.float64)
"""Grey values over which a density is summed: exact to rounding for standard deviations of 0.01 to 4."""
DRAWS = 20_000

Make = Callable[[tuple[int, int]], Likelihood]


def rng(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def parameters_of(likelihood: Likelihood, *batch: int, size: float = 1.5, seed: int = 0) -> Tensor:
    """A decoder's output: random, of order `size`."""
    shape = (*batch, math.prod(likelihood.image_shape), likelihood.num_parameters)
    return size * torch.randn(shape, generator=rng(seed), dtype=torch.float64)


def pixel_mass(pixels: Pixels) -> tuple[Tensor, Tensor]:
    """All values that one pixel can take, as grey values, with the mass that the likelihood gives to each."""
    if pixels.sample(rng(0)).is_floating_point():
        mass = pixels.log_prob(GRID.view(-1, 1, 1)).exp() * (GRID[1] - GRID[0])
        return GRID, mass
    values = torch.arange(LEVELS, dtype=torch.uint8)
    return values.double() / (LEVELS - 1), pixels.log_prob(values.view(-1, 1, 1)).exp()


def grey(draws: Tensor) -> Tensor:
    return draws.double() if draws.is_floating_point() else draws.double() / (LEVELS - 1)


def masses_sum_to_one(make: Make) -> None:
    """Over the levels of a pixel, or as an integral over its grey values; and so does their gradient, to zero."""
    likelihood = make((1, 1)).double()
    for seed in range(3):
        parameters = parameters_of(likelihood, seed=seed).requires_grad_()
        _, mass = pixel_mass(likelihood(parameters))
        torch.testing.assert_close(mass.sum(), torch.ones((), dtype=torch.float64), rtol=0, atol=1e-9)
        variables = [parameters, *(weight for weight in likelihood.parameters() if weight.requires_grad)]
        for gradient in torch.autograd.grad(mass.sum(), variables):
            assert float(gradient.abs().max()) < 1e-9


def an_image_is_the_sum_of_its_pixels(make: Make) -> None:
    whole, single = make(SHAPE).double(), make((1, 1)).double()
    parameters = parameters_of(whole)
    x = torch.randint(LEVELS, SHAPE, generator=rng(1)).to(torch.uint8)
    by_pixel = [
        single(parameters[index : index + 1]).log_prob(value.view(1, 1)) for index, value in enumerate(x.flatten())
    ]
    torch.testing.assert_close(whole(parameters).log_prob(x), torch.stack(by_pixel).sum(), rtol=1e-12, atol=1e-12)


def the_mean_is_that_of_the_masses(make: Make) -> None:
    likelihood = make((1, 1)).double()
    pixels = likelihood(parameters_of(likelihood))
    values, mass = pixel_mass(pixels)
    torch.testing.assert_close(pixels.mean.squeeze(), (values * mass).sum(), rtol=1e-6, atol=1e-6)


@torch.no_grad()
def draws_follow_the_masses(make: Make) -> None:
    """Mean and mean square of draws within 5 standard errors; with the sum to one, this fixes two levels entirely."""
    likelihood = make((1, 1)).double()
    parameters = parameters_of(likelihood)
    values, mass = pixel_mass(likelihood(parameters))
    draws = grey(likelihood(parameters.expand(DRAWS, -1, -1)).sample(rng(2))).flatten()
    for power in (1, 2):
        exact = float((values**power * mass).sum())
        spread = float(draws.pow(power).std()) / math.sqrt(DRAWS)
        assert abs(float(draws.pow(power).mean()) - exact) < 5 * spread + 1e-9


@torch.no_grad()
def draws_have_the_mean_pixel_by_pixel(make: Make) -> None:
    likelihood = make(SHAPE).double()
    pixels = likelihood(parameters_of(likelihood).expand(DRAWS, -1, -1))
    draws = grey(pixels.sample(rng(3)))
    assert draws.shape == (DRAWS, *SHAPE)
    error = draws.std(0) / math.sqrt(DRAWS)
    assert bool(((draws.mean(0) - pixels.mean[0]).abs() < 5 * error + 1e-9).all())


def draws_come_from_the_generator_alone(make: Make) -> None:
    likelihood = make(SHAPE).double()
    pixels = likelihood(parameters_of(likelihood, 50))
    state = torch.get_rng_state()
    assert torch.equal(pixels.sample(rng(4)), pixels.sample(rng(4)))
    assert not torch.equal(pixels.sample(rng(4)), pixels.sample(rng(5)))
    assert torch.equal(state, torch.get_rng_state())


def images_broadcast_against_decodings(make: Make) -> None:
    """Prior Monte Carlo scores every image under every decoding."""
    likelihood = make(SHAPE).double()
    decodings = parameters_of(likelihood, 4)
    x = torch.randint(LEVELS, (3, *SHAPE), generator=rng(1)).to(torch.uint8)
    table = likelihood(decodings.unsqueeze(1)).log_prob(x)
    assert table.shape == (4, 3)
    for row in range(4):
        for column in range(3):
            torch.testing.assert_close(table[row, column], likelihood(decodings[row]).log_prob(x[column]))


def large_parameters_give_finite_values_and_gradients(make: Make) -> None:
    likelihood = make(SHAPE)
    parameters = (1e4 * torch.sign(parameters_of(likelihood, 2))).float().requires_grad_()
    pixels = likelihood(parameters)
    log_prob = pixels.log_prob(torch.ones(2, *SHAPE, dtype=torch.uint8))
    assert log_prob.dtype == torch.float32
    log_prob.sum().backward()
    assert parameters.grad is not None
    for values in (log_prob, parameters.grad, pixels.mean):
        assert bool(values.isfinite().all())


def every_parameter_matters(make: Make) -> None:
    likelihood = make(SHAPE).double()
    parameters = parameters_of(likelihood).requires_grad_()
    x = torch.randint(LEVELS, SHAPE, generator=rng(1)).to(torch.uint8)
    variables = [parameters, *likelihood.parameters()]
    for gradient in torch.autograd.grad(likelihood(parameters).log_prob(x), variables):
        assert bool((gradient != 0).all())


CHECKS = (
    masses_sum_to_one,
    an_image_is_the_sum_of_its_pixels,
    the_mean_is_that_of_the_masses,
    draws_follow_the_masses,
    draws_have_the_mean_pixel_by_pixel,
    draws_come_from_the_generator_alone,
    images_broadcast_against_decodings,
    large_parameters_give_finite_values_and_gradients,
    every_parameter_matters,
)
