"""Likelihoods: what holds for every registered one, values against torch.distributions, and broken ones."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from conformance import likelihoods as conformance
from conformance.likelihoods import Make, grey, parameters_of
from torch import Tensor
from torch.distributions import Bernoulli, Categorical, Distribution, Normal

from pipeline import config as cfg
from pipeline.model.likelihoods import (
    LIKELIHOODS,
    BernoulliLikelihood,
    BernoulliPixels,
    CategoricalLikelihood,
    GaussianLikelihood,
    GaussianPixels,
    Likelihood,
    Pixels,
    build_likelihood,
)

SHAPE = (2, 3)
Check = Callable[[Make], None]


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def logits(*batch: int, classes: int = 5, size: float = 2.0) -> Tensor:
    return size * torch.randn(*batch, 6, classes, generator=rng(), dtype=torch.float64)


# --- every likelihood -----------------------------------------------------------------------------------------------


def test_every_likelihood_of_the_configuration_is_registered() -> None:
    annotation = cfg.ModelConfig.model_fields["likelihood"].annotation
    assert set(LIKELIHOODS) == set(annotation.__args__)  # type: ignore[union-attr]


KINDS: dict[str, cfg.Frozen] = {options.model_fields["name"].default: options() for options in LIKELIHOODS}
KINDS["gaussian with a learnt scale"] = cfg.GaussianLikelihood(scale=0.3, learn_scale=True)


@pytest.mark.parametrize("check", conformance.CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("kind", KINDS)
def test_every_likelihood_conforms(kind: str, check: Check) -> None:
    check(lambda shape: build_likelihood(KINDS[kind], shape, conformance.LEVELS))


TORCHS: dict[type[cfg.Frozen], Callable[[Tensor], Distribution]] = {
    cfg.CategoricalLikelihood: lambda parameters: Categorical(logits=parameters),
    cfg.BernoulliLikelihood: lambda parameters: Bernoulli(logits=parameters.squeeze(-1)),
    cfg.GaussianLikelihood: lambda parameters: Normal(parameters.squeeze(-1), 1.0),
}
"""One pixel's distribution in torch, for the kinds that torch has."""


@pytest.mark.parametrize("options", TORCHS, ids=lambda options: options.__name__)
def test_value_and_gradient_are_those_of_torch_summed_over_pixels(options: type[cfg.Frozen]) -> None:
    likelihood = build_likelihood(options(), SHAPE, 2).double()
    parameters = parameters_of(likelihood, 4, 3).requires_grad_()
    x = torch.randint(2, (3, *SHAPE), generator=rng(1)).to(torch.uint8)
    log_prob = likelihood(parameters).log_prob(x)
    of_torch = TORCHS[options](parameters).log_prob(x.flatten(-2).double()).sum(-1)
    torch.testing.assert_close(log_prob, of_torch, rtol=1e-9, atol=1e-9)
    gradients = [torch.autograd.grad(value.sum(), parameters)[0] for value in (log_prob, of_torch)]
    torch.testing.assert_close(*gradients, rtol=1e-9, atol=1e-9)


# --- broken likelihoods, which the checks must find -----------------------------------------------------------------


class Broken(Likelihood):
    """A Gaussian likelihood with standard deviation 1, whose pixels are of a broken class."""

    pixels: type[GaussianPixels] = GaussianPixels

    def __init__(self, image_shape: tuple[int, int]) -> None:
        super().__init__(image_shape, 1)

    def forward(self, parameters: Tensor) -> Pixels:
        return self.pixels(parameters, self.image_shape, torch.full((), 0.8, dtype=parameters.dtype), 2)


def with_pixels(pixels: type[GaussianPixels]) -> type[Broken]:
    return type(f"With{pixels.__name__}", (Broken,), {"pixels": pixels})


class WrongSign(GaussianPixels):
    def log_prob(self, x: Tensor) -> Tensor:
        return -super().log_prob(x)


class WithoutNormaliser(GaussianPixels):
    def log_prob(self, x: Tensor) -> Tensor:
        return -0.5 * (grey(x).flatten(-2) - self.parameters.squeeze(-1)).square().sum(-1) / 0.64


class WithoutHalf(GaussianPixels):
    def log_prob(self, x: Tensor) -> Tensor:
        squares = (grey(x).flatten(-2) - self.parameters.squeeze(-1)).square().sum(-1) / 0.64
        return super().log_prob(x) - 0.5 * squares


class FirstPixelAlone(GaussianPixels):
    def log_prob(self, x: Tensor) -> Tensor:
        first = GaussianPixels(self.parameters[..., :1, :], (1, 1), self.scale, 2)
        return first.log_prob(x.flatten(-2)[..., :1].unsqueeze(-1))


class DrawsTooWide(GaussianPixels):
    def sample(self, generator: torch.Generator) -> Tensor:
        return self.mean + 2 * (super().sample(generator) - self.mean)


class MeansAsDraws(GaussianPixels):
    def sample(self, generator: torch.Generator) -> Tensor:
        return self.mean


class Inverted(GaussianPixels):
    @property
    def mean(self) -> Tensor:
        return 1 - super().mean


class UnseededDraws(GaussianPixels):
    def sample(self, generator: torch.Generator) -> Tensor:
        return super().sample(torch.default_generator)


class OverflowingBernoulli(BernoulliLikelihood):
    def forward(self, parameters: Tensor) -> Pixels:
        class Naive(BernoulliPixels):
            def log_prob(self, x: Tensor) -> Tensor:
                white = self.parameters.squeeze(-1).sigmoid()
                return torch.where(x.flatten(-2) == 1, white.log(), (1 - white).log()).sum(-1)

        return Naive(-parameters.abs(), self.image_shape)


@pytest.mark.parametrize(
    ("broken", "check"),
    [
        (with_pixels(WrongSign), conformance.masses_sum_to_one),
        (with_pixels(WithoutNormaliser), conformance.masses_sum_to_one),
        (with_pixels(WithoutHalf), conformance.masses_sum_to_one),
        (with_pixels(FirstPixelAlone), conformance.an_image_is_the_sum_of_its_pixels),
        (with_pixels(FirstPixelAlone), conformance.every_parameter_matters),
        (with_pixels(DrawsTooWide), conformance.draws_follow_the_masses),
        (with_pixels(MeansAsDraws), conformance.draws_follow_the_masses),
        (with_pixels(Inverted), conformance.the_mean_is_that_of_the_masses),
        (with_pixels(Inverted), conformance.draws_have_the_mean_pixel_by_pixel),
        (with_pixels(UnseededDraws), conformance.draws_come_from_the_generator_alone),
        (OverflowingBernoulli, conformance.large_parameters_give_finite_values_and_gradients),
    ],
)
def test_a_broken_likelihood_does_not_conform(broken: type[Broken], check: Check) -> None:
    with pytest.raises(AssertionError):
        check(broken)


def test_the_likelihood_that_the_broken_ones_are_made_of_is_sound() -> None:
    for check in conformance.CHECKS:
        check(Broken)


# --- single likelihoods ---------------------------------------------------------------------------------------------


def test_categorical_scores_each_of_many_levels() -> None:
    parameters = logits(4, 3)
    x = torch.randint(5, (3, *SHAPE), generator=rng(1)).to(torch.uint8)
    pixels = CategoricalLikelihood(SHAPE, 5)(parameters)
    of_torch = Categorical(logits=parameters).log_prob(x.flatten(-2).long()).sum(-1)
    torch.testing.assert_close(pixels.log_prob(x), of_torch)
    levels = torch.arange(5) / 4
    torch.testing.assert_close(pixels.mean, (parameters.softmax(-1) * levels).sum(-1).unflatten(-1, SHAPE))


def test_gaussian_takes_levels_or_the_grey_values_they_stand_for() -> None:
    parameters = logits(4, 3, classes=1)
    x = torch.randint(16, (3, *SHAPE), generator=rng(1)).to(torch.uint8)
    pixels = GaussianLikelihood(SHAPE, 16, scale=0.3, learn_scale=False).double()(parameters)
    of_torch = Normal(parameters.squeeze(-1), 0.3).log_prob(x.flatten(-2) / 15).sum(-1)
    torch.testing.assert_close(pixels.log_prob(x), of_torch, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(pixels.log_prob(x), pixels.log_prob(x.double() / 15))


@pytest.mark.parametrize("learn_scale", [True, False])
def test_gaussian_scale(learn_scale: bool) -> None:
    likelihood = GaussianLikelihood(SHAPE, 16, scale=0.25, learn_scale=learn_scale)
    assert float(likelihood.scale.detach()) == pytest.approx(0.25)
    assert len(list(likelihood.parameters())) == learn_scale
    assert "log_scale" in likelihood.state_dict()


@pytest.mark.parametrize("num_pixels", [64, 784])
def test_zero_logits_are_uniform(num_pixels: int) -> None:
    side = math.isqrt(num_pixels)
    p = CategoricalLikelihood((side, side), 16)(torch.zeros(num_pixels, 16))
    assert float(p.log_prob(torch.zeros(side, side, dtype=torch.uint8))) == pytest.approx(-num_pixels * math.log(16))


def test_draws_have_the_pixels_probabilities() -> None:
    parameters = logits(1, classes=4, size=1.0)
    p = CategoricalLikelihood(SHAPE, 4)(parameters.expand(20_000, -1, -1))
    draws = p.sample(rng(2))
    assert draws.dtype == torch.uint8
    assert draws.shape == (20_000, *SHAPE)
    shares = torch.stack([(draws == level).double().mean(0) for level in range(4)], dim=-1).flatten(0, 1)
    assert (shares - parameters[0].softmax(-1)).abs().max() < 5 * math.sqrt(0.25 / 20_000)
