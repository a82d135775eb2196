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
from pipeline.probability import kl as estimators
from pipeline.probability import sampling
from pipeline.probability.bounds import log_mean_exp
from pipeline.variance.moments import MIN_GROUPS

QUANTITIES = (
    "k1",
    "k3",
    "cross_entropy",
    "reconstruction",
    "elbo_closed_form",
    "elbo_monte_carlo",
    "elbo_control_variate",
)


class Block(NamedTuple):
    """One estimator's size: L outer draws, each of K inner ones (None: no logarithm of a mean)."""

    num_samples: int
    num_importance_samples: int | None = None

    @property
    def draws(self) -> int:
        return self.num_samples * (self.num_importance_samples or 1)


def group_length(scheme: sampling.Scheme, config: VarianceConfig) -> int:
    """Draws that depend on each other: 1 independent draw, 2 of an antithetic pair, the net of the largest L."""
    return {"iid": 1, "antithetic": 2, "sobol": max(config.num_samples)}[scheme]


def estimates(
    terms: DrawTerms, config: VarianceConfig, scheme: sampling.Scheme, group: int
) -> Iterator[tuple[str, Block, Float[Tensor, "group position image"]]]:
    """Every estimator's values, block by block."""
    log_weights = terms.log_weights
    k1 = estimators.k1(terms.log_qz_x, terms.log_pz)
    per_draw = {
        "k1": k1,
        "k3": estimators.k3(terms.log_qz_x, terms.log_pz),
        "reconstruction": -terms.log_px_z,
        "elbo_monte_carlo": log_weights,
    }
    if terms.entropy is not None:
        per_draw["cross_entropy"] = estimators.cross_entropy_kl(terms.entropy, terms.log_pz)
    if terms.kl is not None:
        per_draw["elbo_closed_form"] = terms.log_px_z - terms.kl
    for length in config.num_samples:
        block = Block(length)
        means = {name: in_blocks(values, block, group) for name, values in per_draw.items()}
        if terms.kl is not None:
            means["elbo_control_variate"] = control_variate(means["elbo_closed_form"], terms.kl - means["k1"])
        yield from ((name, block, means[name]) for name in QUANTITIES if name in means)
    for inner in config.num_importance_samples:
        for length in config.num_samples:
            block = Block(length, inner)
            if fits(block, scheme, config):
                yield "iwae", block, in_blocks(log_weights, block, group)


def fits(block: Block, scheme: sampling.Scheme, config: VarianceConfig) -> bool:
    """Whether L * K draws fit into the study often enough; with Sobol draws, into one net."""
    if scheme == "sobol":
        return max(config.num_samples) % block.draws == 0
    return block.draws * MIN_GROUPS <= config.draws and (scheme == "iid" or block.draws == 1 or block.draws % 2 == 0)


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
