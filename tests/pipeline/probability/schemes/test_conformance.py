"""Every registered sampling scheme passes the suite; one with a mistake does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from conformance import schemes as suite
from torch import Tensor

from pipeline.probability.kl.estimator import Parts
from pipeline.probability.schemes.antithetic import Antithetic
from pipeline.probability.schemes.iid import Independent
from pipeline.probability.schemes.registry import SCHEMES
from pipeline.probability.schemes.scheme import SamplingScheme
from pipeline.probability.schemes.sobol import Sobol

Check = Callable[[SamplingScheme], None]


@pytest.mark.parametrize("check", suite.CHECKS)
@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)
def test_conformance(scheme: SamplingScheme, check: Check) -> None:
    check(scheme)


class WrongScale(Independent):
    def noise(self, *size: int, **options: Any) -> Tensor:
        return 1.05 * super().noise(*size, **options)


class SharedByAllImages(Independent):
    def noise(self, num_samples: int, batch: int, dim: int, **options: Any) -> Tensor:
        return super().noise(num_samples, 1, dim, **options).expand(-1, batch, -1)


class PairsThatAreNot(Antithetic):
    def noise(self, *size: int, **options: Any) -> Tensor:
        return Independent().noise(*size, **options)


class ForgetsThePair(Antithetic):
    """A pair keeps the even part whole: its variance is 2 even / L, not even / L."""

    def variance(self, parts: Parts, num_samples: int) -> Tensor | None:
        assert parts.even is not None
        return parts.even / num_samples


class SmallerGroups(Sobol):
    def group(self, largest: int) -> int:
        return 2


class Biased(Sobol):
    """Points at the left ends of their intervals."""

    def noise(self, num_samples: int, batch: int, dim: int, **options: Any) -> Tensor:
        left = (torch.arange(num_samples, dtype=torch.float64) + 0.01) / num_samples
        return torch.special.ndtri(left).view(-1, 1, 1).expand(-1, batch, dim)


class GlobalGenerator(Independent):
    def noise(self, *size: int, **options: Any) -> Tensor:
        return torch.randn(*size, dtype=options["dtype"])


MISTAKES: dict[type[SamplingScheme], Check] = {
    WrongScale: suite.check_averages,
    SharedByAllImages: suite.check_images_and_dimensions_are_independent,
    PairsThatAreNot: suite.check_averages,
    ForgetsThePair: suite.check_averages,
    SmallerGroups: suite.check_facts,
    Biased: suite.check_every_draw_is_standard_normal,
    GlobalGenerator: suite.check_the_generator_is_the_only_randomness,
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_found(mistake: type[SamplingScheme]) -> None:
    with pytest.raises(AssertionError):
        MISTAKES[mistake](mistake())
