"""What every KL estimator must fulfil: it is unbiased, its variance is as predicted, its gradient is exact.

Each check takes an estimator and a pair of posterior and prior (all that a configuration can choose, two dimensions,
float64). Means of independent draws are compared with exact values, within five standard errors.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable
from functools import cache
from typing import NamedTuple, get_args

import torch
from torch import Tensor
from torch.distributions import Distribution, kl_divergence

from conformance.standard_errors import assert_mean, assert_variance
from pipeline.config import ModelConfig
from pipeline.model.draws import closed_entropy, closed_kl
from pipeline.model.vae import VAE, build_vae
from pipeline.probability.distributions import reparameterise
from pipeline.probability.gradients.estimator import path_log_prob
from pipeline.probability.kl.estimator import SAMPLED, KLEstimator, Need, Terms
from pipeline.probability.predicted_variance import one_draw

COEFFICIENT = 0.4
"""Of estimators that take one: any fixed number leaves them unbiased."""
DRAWS = 20_000
SMALL = {"mixture": {"components": 3}, "vamp": {"pseudo_inputs": 3}}
"""Options that keep a choice fast."""


def choices(key: str) -> tuple[str, ...]:
    """The names that `model.KEY` accepts."""
    variants = get_args(ModelConfig.model_fields[key].annotation)
    return tuple(variant.model_fields["name"].default for variant in variants)


class Pair(NamedTuple):
    """The features of one image, from which the model's head makes q, and a prior."""

    vae: VAE
    features: Tensor

    def posterior(self, features: Tensor | None = None) -> Distribution:
        q: Distribution = self.vae.posterior_head(self.features if features is None else features)
        return q


PAIRS = tuple(itertools.product(choices("posterior"), choices("prior")))


@cache
def pair(posterior: str, prior: str) -> Pair:
    """Fresh weights; features small enough that q is about as wide as N(0, I), where k3 has a finite variance."""
    config = ModelConfig.model_validate(
        {
            "latent_dim": 2,
            "network": {"name": "linear"},
            "posterior": posterior,
            "prior": {"name": prior, **SMALL.get(prior, {})},
            "likelihood": "gaussian",
        }
    )
    vae = build_vae(config, image_shape=(2, 2), levels=2, generator=torch.Generator().manual_seed(1)).double()
    with torch.no_grad():
        for parameter in vae.posterior_head.parameters():  # a fresh flow is N(0, I) whatever its features
            parameter.mul_(2)
    num_features = int(vae.posterior_head.num_features)  # type: ignore[arg-type]
    features = 0.5 * torch.randn(1, num_features, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    features[:, :2] = torch.tensor([0.7, -0.5])  # the locations, where there are some, then the scales
    features[:, 2:4] *= 0.2
    return Pair(vae, features.requires_grad_())


def exact_kl(q: Distribution, p: Distribution) -> Tensor:
    """torch's closed form, else a sum over z with one random point in each cell of a grid: kinks do no harm then."""
    closed = closed_kl(q, p)
    if closed is not None:
        return closed.squeeze()
    line, step = torch.linspace(-8, 8, 201, dtype=torch.float64), 0.08
    place = torch.rand(len(line) ** 2, 2, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    z = (torch.cartesian_prod(line, line) + step * (place - 0.5)).unsqueeze(1)
    log_qz_x, log_pz = q.log_prob(z), p.log_prob(z)
    return (log_qz_x.exp() * (log_qz_x - log_pz)).sum() * step**2


def applies(estimator: KLEstimator, names: tuple[str, str]) -> bool:
    """Whether torch knows the closed forms that the estimator needs."""
    q, p = pair(*names).posterior(), pair(*names).vae.prior()
    known = {"kl": closed_kl(q, p) is not None, "entropy": closed_entropy(q) is not None}
    return all(known.get(need, True) for need in estimator.needs)


def cases(estimators: Iterable[KLEstimator]) -> list[tuple[KLEstimator, tuple[str, str]]]:
    """Every estimator with every pair that it applies to."""
    return [(estimator, names) for estimator in estimators for names in PAIRS if applies(estimator, names)]


def terms_of(estimator: KLEstimator, q: Distribution, p: Distribution, z: Tensor, *, score: bool = True) -> Terms:
    """What the estimator says that it needs, and nothing else."""
    sources: dict[Need, Callable[[], Tensor]] = {
        "log_pz": lambda: p.log_prob(z),
        "log_qz_x": lambda: q.log_prob(z) if score else path_log_prob(q, z),
        "entropy": q.entropy,
        "kl": lambda: kl_divergence(q, p),
        "coefficient": lambda: torch.tensor(COEFFICIENT, dtype=torch.float64),
    }
    return {need: sources[need]() for need in estimator.needs}


def draw(
    estimator: KLEstimator, names: tuple[str, str], features: Tensor, noise: Tensor, *, score: bool = True
) -> Tensor:
    """The estimator's value for each row of noise [draw, dim]; each row may have features of its own."""
    q = pair(*names).posterior(features)
    z = reparameterise(q, noise if len(features) > 1 else noise.unsqueeze(1))
    draws = estimator.draws(terms_of(estimator, q, pair(*names).vae.prior(), z, score=score))
    return draws.flatten()


def normal_noise() -> Tensor:
    return torch.randn(DRAWS, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


# --- the checks -----------------------------------------------------------------------------------------------------


def check_facts(estimator: KLEstimator) -> None:
    """Its facts are complete and do not contradict each other."""
    assert estimator.name
    assert estimator.label
    assert set(estimator.needs) <= set(get_args(Need))
    assert not estimator.mean_zero_score or "log_qz_x" in estimator.needs
    assert estimator.least_draws >= 1
    assert bool(estimator.least_draws_for) == (estimator.least_draws > 1)
    assert any(applies(estimator, names) for names in PAIRS)


def check_mean(estimator: KLEstimator, names: tuple[str, str]) -> None:
    """The mean of its draws is KL(q | p); a closed form is one draw."""
    with torch.no_grad():
        draws = draw(estimator, names, pair(*names).features, normal_noise())
        exact = exact_kl(pair(*names).posterior(), pair(*names).vae.prior())
    if not set(SAMPLED) & set(estimator.needs):
        torch.testing.assert_close(draws, exact.reshape(1))
    else:
        assert draws.shape == (DRAWS,)
        assert_mean(draws, exact)


def check_variance(estimator: KLEstimator, names: tuple[str, str]) -> None:
    """Where it predicts the variance of a draw, or of its even part, that is what it is."""
    parts = one_draw(estimator, pair(*names).posterior(), pair(*names).vae.prior())
    if parts is None:
        return
    assert parts.total.isfinite().all(), "the features are chosen so that every variance is finite"
    factor, noise = COEFFICIENT**2 if "coefficient" in estimator.needs else 1.0, normal_noise()
    with torch.no_grad():
        draws, opposite = (draw(estimator, names, pair(*names).features, sign * noise) for sign in (1, -1))
    assert_variance(draws, factor * parts.total.detach())
    if parts.even is not None:
        assert_variance((draws + opposite) / 2, factor * parts.even.detach())


def check_gradient(estimator: KLEstimator, names: tuple[str, str]) -> None:
    """The mean of its gradient is that of KL(q | p); without the score term too, where it says so."""
    features = pair(*names).features
    exact = torch.autograd.grad(exact_kl(pair(*names).posterior(), pair(*names).vae.prior()), features)[0].squeeze(0)
    copies = features.detach().expand(DRAWS, -1).clone().requires_grad_()
    for score in (True, False) if estimator.mean_zero_score else (True,):
        draws = draw(estimator, names, copies, normal_noise(), score=score)
        (gradients,) = torch.autograd.grad(draws.sum(), copies)
        error = 5 * gradients.std(0) / math.sqrt(DRAWS) + 0.02 * exact.abs().max()
        assert ((gradients.mean(0) - exact).abs() <= error).all(), f"mean {gradients.mean(0)}, exact {exact}"


CHECKS = (check_mean, check_variance, check_gradient)
"""Each takes an estimator and the names of a pair."""
