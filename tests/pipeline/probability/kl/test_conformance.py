"""Every registered KL estimator passes the suite; one with a mistake does not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from conformance import kl_estimators as suite
from torch import Tensor

from pipeline.probability.kl.control_variate import ControlVariate
from pipeline.probability.kl.cross_entropy import CrossEntropy
from pipeline.probability.kl.estimator import KLEstimator, Parts, Terms
from pipeline.probability.kl.monte_carlo import MonteCarlo
from pipeline.probability.kl.monte_carlo_k3 import MonteCarloK3
from pipeline.probability.kl.registry import KL_ESTIMATORS

Check = Callable[[KLEstimator, tuple[str, str]], None]
CASES = suite.cases(KL_ESTIMATORS.values())
GAUSSIAN = ("gaussian", "standard_normal")


@pytest.mark.parametrize("estimator", KL_ESTIMATORS.values(), ids=KL_ESTIMATORS)
def test_facts(estimator: KLEstimator) -> None:
    suite.check_facts(estimator)


@pytest.mark.parametrize("check", suite.CHECKS)
@pytest.mark.parametrize(("estimator", "names"), CASES, ids=[f"{e.name}-{'-'.join(names)}" for e, names in CASES])
def test_conformance(estimator: KLEstimator, names: tuple[str, str], check: Check) -> None:
    check(estimator, names)


# --- mistakes -------------------------------------------------------------------------------------------------------


class WrongSign(MonteCarlo):
    def draws(self, terms: Terms) -> Tensor:
        return terms["log_pz"] - terms["log_qz_x"]


class WrongFactor(CrossEntropy):
    def draws(self, terms: Terms) -> Tensor:
        return 1.5 * super().draws(terms)


class MissingTerm(MonteCarloK3):
    def draws(self, terms: Terms) -> Tensor:
        return (terms["log_pz"] - terms["log_qz_x"]).expm1()


class MissingEntropy(CrossEntropy):
    needs = ("log_pz",)

    def draws(self, terms: Terms) -> Tensor:
        return -terms["log_pz"]


class WithoutClosedForm(ControlVariate):
    """Its closed form is left out: c k1 instead of c k1 + (1 - c) KL."""

    def draws(self, terms: Terms) -> Tensor:
        return terms["coefficient"] * (terms["log_qz_x"] - terms["log_pz"])


class WrongVariance(MonteCarlo):
    """The part that is odd in the noise is left out."""

    def gaussian(self, loc: Tensor, scale: Tensor) -> Parts:
        return Parts((0.5 * (scale.square() - 1).square()).sum(-1))


class WrongEvenPart(MonteCarlo):
    def gaussian(self, loc: Tensor, scale: Tensor) -> Parts:
        return Parts(super().gaussian(loc, scale).total, (loc * scale).square().sum(-1))


class DetachedPrior(MonteCarlo):
    """The right value, and no gradient through log p(z)."""

    def draws(self, terms: Terms) -> Tensor:
        return terms["log_qz_x"] - terms["log_pz"].detach()


class ClaimsAMeanZeroScore(MonteCarloK3):
    """The score term of k3 has a mean; a gradient estimator that left it out would be biased."""

    mean_zero_score = True


MISTAKES: dict[type[KLEstimator], Check] = {
    WrongSign: suite.check_mean,
    WrongFactor: suite.check_mean,
    MissingTerm: suite.check_mean,
    MissingEntropy: suite.check_mean,
    WithoutClosedForm: suite.check_mean,
    WrongVariance: suite.check_variance,
    WrongEvenPart: suite.check_variance,
    DetachedPrior: suite.check_gradient,
    ClaimsAMeanZeroScore: suite.check_gradient,
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_found(mistake: type[KLEstimator]) -> None:
    with pytest.raises(AssertionError):
        MISTAKES[mistake](mistake(), GAUSSIAN)
