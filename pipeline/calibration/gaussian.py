"""The distributions that the calibration draws from: a diagonal q near N(0, I), standard priors, draws of any q."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, Laplace, Normal

from pipeline.probability.distributions import reparameterise

# k3's fourth moment, which the error of its variance needs, is finite only for posterior variances above 3/4.
LOC = torch.tensor([0.4, -0.3, 0.0], dtype=torch.float64)
SCALE = torch.tensor([0.97, 1.1, 1.05], dtype=torch.float64)
KL = float(0.5 * (SCALE**2 + LOC**2 - 1 - 2 * SCALE.log()).sum())
"""KL(N(LOC, SCALE^2) | N(0, I)) in nats."""


def diagonal(base: Distribution) -> Independent[Distribution]:
    """A distribution of independent dimensions."""
    return Independent(base, 1)


def standard(family: type[Normal] | type[Laplace], dim: int = 3) -> Independent[Distribution]:
    """The prior of location 0 and scale 1 in every dimension."""
    return diagonal(family(torch.zeros(dim, dtype=torch.float64), torch.ones(dim, dtype=torch.float64)))


def draws_from(q: Distribution, num: int, generator: torch.Generator) -> Tensor:
    """Independent reparameterised draws, the sample axis first."""
    noise = torch.randn(num, *q.batch_shape, *q.event_shape, generator=generator, dtype=torch.float64)
    z: Tensor = reparameterise(q, noise)
    return z
