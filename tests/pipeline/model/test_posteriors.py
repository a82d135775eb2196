"""Posteriors: what holds for every registered one, and broken ones that the checks find."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from conformance import densities
from conformance.densities import MakePosterior
from torch import Tensor
from torch.distributions import Distribution, Independent, Laplace, Normal, kl_divergence, register_kl

from pipeline import config as cfg
from pipeline.model.posteriors import POSTERIORS, GaussianHead, PosteriorHead, build_posterior, positive

Check = Callable[[MakePosterior], None]


def options_of(field: str) -> set[type]:
    """The classes of options that the configuration accepts for one part of the model."""
    return set(cfg.ModelConfig.model_fields[field].annotation.__args__)  # type: ignore[union-attr]


def test_every_posterior_of_the_configuration_is_registered() -> None:
    assert set(POSTERIORS) == options_of("posterior")


KINDS = {options.model_fields["name"].default: options() for options in POSTERIORS}
KINDS["autoregressive flow"] = cfg.FlowPosterior(coupling=False, transforms=1, hidden=(8,), context=6)


@pytest.mark.parametrize("check", densities.POSTERIOR_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("kind", KINDS)
def test_every_posterior_conforms(kind: str, check: Check) -> None:
    check(lambda dim: build_posterior(KINDS[kind], dim))


# --- broken posteriors, which the checks must find ------------------------------------------------------------------


class NormalWith(Normal):
    """A normal distribution whose density lacks or adds a term."""

    def __init__(self, loc: Tensor, scale: Tensor, term: Callable[[Tensor], Tensor]) -> None:
        super().__init__(loc, scale, validate_args=False)
        self.term = term

    def log_prob(self, value: Tensor) -> Tensor:
        return super().log_prob(value) + self.term(self.scale)

    def expand(self, batch_shape: Any, _instance: Any = None) -> NormalWith:
        return NormalWith(self.loc.expand(batch_shape), self.scale.expand(batch_shape), self.term)


class WithoutJacobian(GaussianHead):
    def forward(self, features: Tensor) -> Distribution:
        loc, raw = features.chunk(2, dim=-1)
        return Independent(NormalWith(loc, positive(raw), torch.log), 1, validate_args=False)


class WithoutConstant(GaussianHead):
    def forward(self, features: Tensor) -> Distribution:
        loc, raw = features.chunk(2, dim=-1)
        return Independent(NormalWith(loc, positive(raw), lambda scale: 0 * scale + 0.919), 1, validate_args=False)


class WrongSign(NormalWith):
    def log_prob(self, value: Tensor) -> Tensor:
        return -super().log_prob(value)


class WithWrongSign(GaussianHead):
    def forward(self, features: Tensor) -> Distribution:
        loc, raw = features.chunk(2, dim=-1)
        return Independent(WrongSign(loc, positive(raw), torch.zeros_like), 1, validate_args=False)


class TwiceAsWide(Normal):
    """A density that is wider than the draws, which are loc + scale * noise."""

    def log_prob(self, value: Tensor) -> Tensor:
        return Normal(self.loc, 2 * self.scale, validate_args=False).log_prob(value)


class WithWrongFactor(GaussianHead):
    def forward(self, features: Tensor) -> Distribution:
        loc, raw = features.chunk(2, dim=-1)
        return Independent(TwiceAsWide(loc, positive(raw), validate_args=False), 1, validate_args=False)


class WithoutGradient(GaussianHead):
    def forward(self, features: Tensor) -> Distribution:
        loc, raw = features.chunk(2, dim=-1)
        return Independent(Normal(loc, positive(raw).detach(), validate_args=False), 1, validate_args=False)


class Overflowing(GaussianHead):
    def forward(self, features: Tensor) -> Distribution:
        loc, raw = features.chunk(2, dim=-1)
        return Independent(Normal(loc, raw.exp(), validate_args=False), 1, validate_args=False)


class WithoutEvent(GaussianHead):
    def forward(self, features: Tensor) -> Distribution:
        loc, raw = features.chunk(2, dim=-1)
        return Normal(loc, positive(raw), validate_args=False)


class MeetingImages(GaussianHead):
    def forward(self, features: Tensor) -> Distribution:
        return super().forward(features - features.mean(0))


class HalfTheGradient(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, value: Tensor) -> Tensor:
        return value.clone()

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        return gradient / 2


class SurrogateNormal(Normal):
    """Its draws have half the gradient of the scale, as if the reparameterisation forgot a factor."""

    def __init__(self, loc: Tensor, scale: Tensor) -> None:
        super().__init__(loc, HalfTheGradient.apply(scale), validate_args=False)  # type: ignore[no-untyped-call]
        self.whole = Normal(loc, scale, validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        return self.whole.log_prob(value)


@register_kl(SurrogateNormal, Normal)
def _kl_of_the_whole(q: SurrogateNormal, p: Normal) -> Tensor:
    return kl_divergence(q.whole, p)


class WithHalfTheGradient(GaussianHead):
    def forward(self, features: Tensor) -> Distribution:
        loc, raw = features.chunk(2, dim=-1)
        return Independent(SurrogateNormal(loc, positive(raw)), 1, validate_args=False)


@pytest.mark.parametrize(
    ("broken", "check"),
    [
        (WithoutJacobian, densities.a_posteriors_density_is_that_of_its_draws),
        (WithoutJacobian, densities.a_posteriors_density_follows_the_change_of_variables),
        (WithoutJacobian, densities.a_posteriors_draws_are_uniform_under_its_distribution_function),
        (WithoutJacobian, densities.a_posteriors_reparameterised_gradient_is_that_of_its_kl),
        (WithoutConstant, densities.a_posteriors_density_is_that_of_its_draws),
        (WithWrongSign, densities.a_posteriors_density_is_that_of_its_draws),
        (WithWrongSign, densities.a_posteriors_draws_are_uniform_under_its_distribution_function),
        (WithWrongFactor, densities.a_posteriors_density_is_that_of_its_draws),
        (WithWrongFactor, densities.a_posteriors_draws_are_uniform_under_its_distribution_function),
        (WithoutGradient, densities.every_feature_of_a_posterior_matters),
        (WithHalfTheGradient, densities.a_posteriors_reparameterised_gradient_is_that_of_its_kl),
        (Overflowing, densities.a_posteriors_gradients_are_finite_at_extreme_features),
        (WithoutEvent, densities.a_posterior_has_a_batch_of_images_and_an_event_of_dimensions),
        (MeetingImages, densities.a_posterior_has_a_batch_of_images_and_an_event_of_dimensions),
    ],
)
def test_a_broken_posterior_does_not_conform(broken: type[PosteriorHead], check: Check) -> None:
    with pytest.raises(AssertionError):
        check(broken)


def test_the_head_that_the_broken_ones_are_made_of_is_sound() -> None:
    for check in densities.POSTERIOR_CHECKS:
        check(GaussianHead)


@pytest.mark.parametrize("name", ["full_gaussian", "laplace", "flow"])
def test_a_reparameterised_map_with_a_wrong_factor_does_not_conform(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The draws, not the density, are wrong here."""
    from pipeline.probability import distributions

    whole = distributions.reparameterise
    monkeypatch.setattr(distributions, "reparameterise", lambda q, noise: whole(q, 1.3 * noise))
    with pytest.raises(AssertionError):
        densities.a_posteriors_density_is_that_of_its_draws(lambda dim: build_posterior(KINDS[name], dim))


def test_laplace_draws_have_the_spread_of_their_scale() -> None:
    q = build_posterior(cfg.LaplacePosterior(), 2)(torch.zeros(1, 4))
    assert isinstance(q.base_dist, Laplace)
    assert q.stddev.flatten().tolist() == pytest.approx([2**0.5] * 2)
