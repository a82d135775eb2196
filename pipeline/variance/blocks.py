"""Every estimator at every L, from one set of draws cut into disjoint blocks of L.

Blocks must be what the sampling scheme would give for L draws. Independent draws and antithetic pairs can be cut
anywhere (between pairs). Sobol draws come as independently randomised nets of max(L) points: an aligned block of 2^k
points of such a net is itself a randomised net of 2^k points, but the blocks of one net depend on each other, so only
different nets count as independent.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.config import VarianceConfig
from pipeline.model.draws import DrawTerms
from pipeline.probability.bounds import log_mean_exp
from pipeline.probability.kl.estimator import Need
from pipeline.probability.kl.registry import KL_ESTIMATORS
from pipeline.probability.schemes.scheme import SamplingScheme
from pipeline.variance.moments import MIN_GROUPS
from pipeline.variance.quantities import STUDIED

Estimate = tuple[str, "Block", Float[Tensor, "group position image"]]
"""The name of a quantity, the size of its estimates, their values."""


class Block(NamedTuple):
    """One estimator's size: L outer draws, each of K inner ones (None: no logarithm of a mean)."""

    num_samples: int
    num_importance_samples: int | None = None

    @property
    def draws(self) -> int:
        return self.num_samples * (self.num_importance_samples or 1)


def estimates(terms: DrawTerms, config: VarianceConfig, scheme: SamplingScheme, group: int) -> Iterator[Estimate]:
    """Every estimator's values, block by block."""
    per_draw = draws_of_quantities(terms)
    for length in config.num_samples:
        block = Block(length)
        means = {name: in_blocks(values, block, group) for name, values in per_draw.items()}
        means |= _with_coefficient(terms, block, group)
        yield from ((name, block, means[name]) for name in STUDIED if name in means)
    for inner in config.num_importance_samples:
        for length in config.num_samples:
            block = Block(length, inner)
            if fits(block, scheme, config):
                yield "iwae", block, in_blocks(terms.log_weights, block, group)


def draws_of_quantities(terms: DrawTerms) -> dict[str, Float[Tensor, "sample image"]]:
    """One value a draw of every quantity that is a mean of independent terms, and that q and p have the forms for."""
    given = {"log_pz": terms.log_pz, "log_qz_x": terms.log_qz_x, "kl": terms.kl, "entropy": terms.entropy}
    needs: dict[Need, Tensor] = {name: value for name, value in given.items() if value is not None}  # type: ignore[misc]
    draws = {"reconstruction": -terms.log_px_z}
    for estimator in KL_ESTIMATORS.values():
        if not needs.keys() >= set(estimator.needs):
            continue
        if estimator.quantity:
            draws[estimator.quantity.name] = estimator.draws(needs)
        if estimator.elbo:
            draws[estimator.elbo.name] = estimator.bound(terms.log_px_z, needs)
    return draws


def _with_coefficient(terms: DrawTerms, block: Block, group: int) -> dict[str, Tensor]:
    """Blocks of the bounds whose KL takes a coefficient: it is fitted on other blocks."""
    if terms.kl is None:
        return {}
    bound = in_blocks(terms.log_px_z - terms.kl, block, group)
    control = terms.kl - in_blocks(terms.log_qz_x - terms.log_pz, block, group)
    mixed = [kl.elbo for kl in KL_ESTIMATORS.values() if kl.elbo and "coefficient" in kl.needs]
    return {elbo.name: control_variate(bound, control) for elbo in mixed}


def fits(block: Block, scheme: SamplingScheme, config: VarianceConfig) -> bool:
    """Whether L * K draws fit into the study often enough; where draws come as nets, into one net."""
    if scheme.nets:
        return max(config.num_samples) % block.draws == 0
    return block.draws * MIN_GROUPS <= config.draws and (block.draws == 1 or scheme.allows(block.draws))


def in_blocks(values: Float[Tensor, "sample image"], block: Block, group: int) -> Float[Tensor, "group position image"]:
    """Disjoint blocks by independent group: means over L, of log-mean-exps over K where the block has them."""
    span = math.lcm(block.draws, group)
    groups = values.shape[0] // span
    cut = values[: groups * span].view(groups, span // block.draws, block.num_samples, -1, values.shape[1])
    if block.num_importance_samples is None:
        return cut.mean((2, 3))
    return log_mean_exp(cut, dim=3).mean(2)


def control_variate(
    bound: Float[Tensor, "group position image"], control: Float[Tensor, "group position image"]
) -> Float[Tensor, "group position image"]:
    """bound + c * control with the one c, shared by the images, that minimises the variance given x.

    The control has expectation 0: closed-form KL minus its k1 estimate. c is fitted on the even groups for the odd ones
    and the other way round, so no value depends on its own coefficient and the mean stays unbiased.
    """
    result = torch.empty_like(bound)
    for target in (0, 1):
        fit_bound, fit_control = (value[1 - target :: 2] for value in (bound, control))
        fit_bound, fit_control = fit_bound - fit_bound.mean(0), fit_control - fit_control.mean(0)
        spread = fit_control.square().sum()
        coefficient = -(fit_bound * fit_control).sum() / spread if spread > 0 else torch.zeros_like(spread)
        result[target::2] = bound[target::2] + coefficient * control[target::2]
    return result
