"""Every registered gradient estimator passes the suite; one with a mistake does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from conformance import gradient_estimators as suite
from torch import Tensor

from pipeline.probability.gradients.dreg import DoublyReparameterised
from pipeline.probability.gradients.estimator import GradientEstimator
from pipeline.probability.gradients.pathwise import Pathwise
from pipeline.probability.gradients.registry import GRADIENT_ESTIMATORS
from pipeline.probability.gradients.score_function import ScoreFunction
from pipeline.probability.gradients.stl import StickingTheLanding
from pipeline.probability.kl.estimator import KLEstimator
from pipeline.probability.kl.registry import KL_ESTIMATORS

OF_ELBO = [
    (gradient, kl, scheme)
    for gradient in GRADIENT_ESTIMATORS.values()
    for kl in KL_ESTIMATORS.values()
    for scheme in suite.schemes_of(gradient)
    if "elbo" in gradient.objectives and gradient.takes(kl)
]
OF_IWAE = [gradient for gradient in GRADIENT_ESTIMATORS.values() if "iwae" in gradient.objectives]


def ids(cases: list[tuple[Any, ...]]) -> list[str]:
    return ["-".join(getattr(part, "name", part) for part in case) for case in cases]


@pytest.mark.parametrize("gradient", GRADIENT_ESTIMATORS.values(), ids=GRADIENT_ESTIMATORS)
def test_facts(gradient: GradientEstimator) -> None:
    suite.check_facts(gradient)


@pytest.mark.parametrize(("gradient", "kl", "scheme"), OF_ELBO, ids=ids(OF_ELBO))
def test_gradient_of_the_elbo(gradient: GradientEstimator, kl: KLEstimator, scheme: str) -> None:
    suite.check_elbo(gradient, kl, scheme)


@pytest.mark.parametrize(("gradient", "kl", "scheme"), OF_ELBO, ids=ids(OF_ELBO))
def test_gradient_of_the_elbo_with_a_weighted_kl(gradient: GradientEstimator, kl: KLEstimator, scheme: str) -> None:
    suite.check_elbo(gradient, kl, scheme, kl_weight=0.3)


@pytest.mark.parametrize("gradient", OF_IWAE, ids=lambda gradient: gradient.name)
@pytest.mark.parametrize(("num_samples", "num_importance_samples"), [(1, 2), (2, 2), (2, 1)])
def test_gradient_of_the_importance_weighted_bound(
    gradient: GradientEstimator, num_samples: int, num_importance_samples: int
) -> None:
    suite.check_iwae(gradient, num_samples, num_importance_samples)


# --- mistakes -------------------------------------------------------------------------------------------------------


class WrongSign(ScoreFunction):
    def loss(self, bound: Tensor, groups: Tensor, z: Tensor, log_qz_x: Callable[[], Tensor]) -> Tensor:
        return -2 * bound.mean() - super().loss(bound, groups, z, log_qz_x)


class WrongFactor(Pathwise):
    def loss(self, bound: Tensor, groups: Tensor, z: Tensor, log_qz_x: Callable[[], Tensor]) -> Tensor:
        return 1.1 * super().loss(bound, groups, z, log_qz_x)


class OwnDrawInTheBaseline(ScoreFunction):
    """The baseline depends on the draw that it is subtracted from."""

    def loss(self, bound: Tensor, groups: Tensor, z: Tensor, log_qz_x: Callable[[], Tensor]) -> Tensor:
        score = (bound - bound.mean(0)).detach() * log_qz_x().squeeze(1)
        return -bound.mean() - score.mean()


class StopsTheGradient(Pathwise):
    def draw(self, z: Tensor) -> Tensor:
        return z.detach()


class TakesEveryKL(StickingTheLanding):
    """The score term of k3 has a mean."""

    needs_mean_zero_score = False


class OneFactorOfTheWeights(DoublyReparameterised):
    """Without the hook the path derivatives carry the weights, not their squares."""

    loss = Pathwise.loss


class PairsInTheBaseline(ScoreFunction):
    """The other draw of an antithetic pair is no baseline that is independent of this one."""

    needs_independent_draws = False


K1, K3 = KL_ESTIMATORS["monte_carlo"], KL_ESTIMATORS["monte_carlo_k3"]
MISTAKES: dict[type[GradientEstimator], Callable[[GradientEstimator], None]] = {
    WrongSign: lambda gradient: suite.check_elbo(gradient, K1, "iid"),
    WrongFactor: lambda gradient: suite.check_elbo(gradient, K1, "iid"),
    OwnDrawInTheBaseline: lambda gradient: suite.check_elbo(gradient, K1, "iid"),
    StopsTheGradient: lambda gradient: suite.check_elbo(gradient, K1, "iid"),
    TakesEveryKL: lambda gradient: suite.check_elbo(gradient, K3, "iid"),
    OneFactorOfTheWeights: lambda gradient: suite.check_iwae(gradient, 1, 2),
    PairsInTheBaseline: lambda gradient: suite.check_elbo(gradient, K1, suite.schemes_of(gradient)[1]),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_found(mistake: type[GradientEstimator]) -> None:
    with pytest.raises(AssertionError):
        MISTAKES[mistake](mistake())
