"""Priors: what holds for every registered one, and broken ones that the checks find."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from conformance import densities
from conformance.densities import IMAGE_SHAPE, MakePrior
from torch import Tensor, nn
from torch.distributions import Categorical, Distribution, Independent, MixtureSameFamily, Normal

from pipeline import config as cfg
from pipeline.model.posteriors import positive
from pipeline.model.priors import PRIORS, MixturePrior, Prior, build_prior
from pipeline.probability.distributions import Posterior

Check = Callable[[MakePrior], None]


def test_every_prior_of_the_configuration_is_registered() -> None:
    assert set(PRIORS) == set(cfg.ModelConfig.model_fields["prior"].annotation.__args__)  # type: ignore[union-attr]


KINDS = {options.model_fields["name"].default: options() for options in PRIORS}


@pytest.mark.parametrize("check", densities.PRIOR_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("kind", KINDS)
def test_every_prior_conforms(kind: str, check: Check) -> None:
    check(lambda dim: build_prior(KINDS[kind], dim, IMAGE_SHAPE))


# --- broken priors, which the checks must find ----------------------------------------------------------------------


class Learnt(Prior):
    """N(loc, scale^2) with learnt parameters: sound, and what the broken ones are made of."""

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.loc = nn.Parameter(torch.randn(latent_dim))
        self.raw_scale = nn.Parameter(torch.randn(latent_dim))

    def forward(self, posterior: Posterior) -> Distribution:
        return Independent(self.dimensions(self.loc, positive(self.raw_scale)), 1, validate_args=False)

    def dimensions(self, loc: Tensor, scale: Tensor) -> Distribution:
        return Normal(loc, scale, validate_args=False)


class DensityWithoutScale(Normal):
    def log_prob(self, value: Tensor) -> Tensor:
        return super().log_prob(value) + self.scale.log()


class WithoutJacobian(Learnt):
    def dimensions(self, loc: Tensor, scale: Tensor) -> Distribution:
        return DensityWithoutScale(loc, scale, validate_args=False)


class DensityTooWide(Normal):
    def log_prob(self, value: Tensor) -> Tensor:
        return Normal(self.loc, 1.5 * self.scale, validate_args=False).log_prob(value)


class WrongFactor(Learnt):
    def dimensions(self, loc: Tensor, scale: Tensor) -> Distribution:
        return DensityTooWide(loc, scale, validate_args=False)


class MirroredDensity(Normal):
    def log_prob(self, value: Tensor) -> Tensor:
        return super().log_prob(-value)


class WrongSign(Learnt):
    def dimensions(self, loc: Tensor, scale: Tensor) -> Distribution:
        return MirroredDensity(loc, scale, validate_args=False)


class CutOff(Learnt):
    def dimensions(self, loc: Tensor, scale: Tensor) -> Distribution:
        return Normal(loc, scale.detach(), validate_args=False)


class WithoutEvent(Learnt):
    def forward(self, posterior: Posterior) -> Distribution:
        return Normal(self.loc, positive(self.raw_scale), validate_args=False)


class UnweightedDensity(MixtureSameFamily):
    """The sum over components without their weights."""

    def log_prob(self, x: Tensor) -> Tensor:
        return self.component_distribution.log_prob(x.unsqueeze(-2)).logsumexp(-1)


class WithoutWeights(MixturePrior):
    def __init__(self, latent_dim: int) -> None:
        super().__init__(latent_dim, 3)

    def forward(self, posterior: Posterior) -> Distribution:
        normal = Independent(Normal(self.loc, positive(self.raw_scale), validate_args=False), 1, validate_args=False)
        return UnweightedDensity(Categorical(logits=self.logits, validate_args=False), normal, validate_args=False)


@pytest.mark.parametrize(
    ("broken", "check"),
    [
        (WithoutJacobian, densities.a_priors_density_is_that_of_its_draws),
        (WithoutJacobian, densities.a_priors_draws_are_uniform_under_its_distribution_function),
        (WrongFactor, densities.a_priors_density_is_that_of_its_draws),
        (WrongFactor, densities.a_priors_draws_are_uniform_under_its_distribution_function),
        (WrongSign, densities.a_priors_draws_are_uniform_under_its_distribution_function),
        (WithoutWeights, densities.a_priors_density_is_that_of_its_draws),
        (WithoutWeights, densities.a_priors_gradients_are_finite_and_reach_its_parameters),
        (CutOff, densities.a_priors_gradients_are_finite_and_reach_its_parameters),
        (WithoutEvent, densities.a_prior_has_no_batch_and_an_event_of_dimensions),
    ],
)
def test_a_broken_prior_does_not_conform(broken: Callable[[int], Prior], check: Check) -> None:
    with pytest.raises(AssertionError):
        check(broken)


def test_the_prior_that_the_broken_ones_are_made_of_is_sound() -> None:
    for check in densities.PRIOR_CHECKS:
        check(Learnt)
