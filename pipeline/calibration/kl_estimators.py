"""Calibration of the KL estimators: every one on a Gaussian q, the sampled KL on the other posteriors and priors."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import (
    Categorical,
    Distribution,
    Laplace,
    MixtureSameFamily,
    MultivariateNormal,
    Normal,
    kl_divergence,
)

from pipeline.calibration.gaussian import KL, LOC, SCALE, diagonal, draws_from, standard
from pipeline.calibration.rows import Row, exact_row, mean_row, variance_row
from pipeline.config import FlowPosterior
from pipeline.model.posteriors import FlowHead
from pipeline.probability.distributions import reparameterise
from pipeline.probability.kl.control_variate import best_coefficient
from pipeline.probability.kl.estimator import SAMPLED, KLEstimator, Need
from pipeline.probability.kl.registry import KL_ESTIMATORS

DRAWS = 100_000
FITTING = 1000
"""Draws that fit the coefficient of an estimator that takes one; the estimate is made of the others."""


def kl_rows(generator: torch.Generator) -> list[Row]:
    """Every KL estimator on a diagonal Gaussian, in value and variance, and k1 on the other posteriors and priors."""
    q, p = diagonal(Normal(LOC, SCALE)), standard(Normal)
    z = draws_from(q, DRAWS, generator)
    terms: dict[Need, Tensor] = {
        "log_pz": p.log_prob(z),
        "log_qz_x": q.log_prob(z),
        "entropy": q.entropy(),
        "kl": torch.tensor(KL, dtype=torch.float64),
    }
    log_px_z = -(z - 1).square().sum(-1)
    k1 = terms["log_qz_x"] - terms["log_pz"]
    rows = []
    for estimator in KL_ESTIMATORS.values():
        if not set(SAMPLED) & set(estimator.needs):
            rows.append(exact_row(estimator.name, "KL, Gaussian q", estimator.draws({"kl": kl_divergence(q, p)}), KL))
        elif "coefficient" in estimator.needs:
            coefficient = best_coefficient(log_px_z[:FITTING], k1[:FITTING])
            fresh = {**terms, **{name: terms[name][FITTING:] for name in SAMPLED}, "coefficient": coefficient}
            rows += _gaussian_rows(estimator, fresh, coefficient**2)
        else:
            rows += _gaussian_rows(estimator, terms)
    return [*rows, *_laplace_rows(generator), *_other_rows(generator)]


def _gaussian_rows(estimator: KLEstimator, terms: dict[Need, Tensor], factor: float | Tensor = 1.0) -> list[Row]:
    """Mean and, where it is known, `factor` times the predicted variance."""
    quantity, name = estimator.quantity, estimator.name
    if quantity and quantity.name not in name:
        name = f"{name} ({quantity.name})"
    draws, parts = estimator.draws(terms), estimator.gaussian(LOC, SCALE)
    rows = [mean_row(name, "KL, Gaussian q", draws, KL)]
    if parts is not None:
        rows.append(variance_row(name, "variance, Gaussian q", draws, factor * parts.total))
    return rows


def _k1(q: Distribution, p: Distribution, z: Tensor) -> Tensor:
    terms: dict[Need, Tensor] = {"log_pz": p.log_prob(z), "log_qz_x": q.log_prob(z)}
    return KL_ESTIMATORS["monte_carlo"].draws(terms)


def _laplace_rows(generator: torch.Generator) -> list[Row]:
    """Laplace q against both closed forms of the prior (value and variance of k1)."""
    loc, b = torch.tensor([0.6], dtype=torch.float64), torch.tensor([0.7], dtype=torch.float64)
    tail = b * torch.exp(-loc.abs() / b)
    moment = 0.5 * (loc**2 + 2 * b**2)
    exact = {
        "N(0, I)": (
            standard(Normal, 1),
            -torch.log(2 * b) - 1 + 0.5 * math.log(2 * math.pi) + moment,
            1 + 2 * loc**2 * b**2 + 5 * b**4 - 4 * b**2,
        ),
        "Laplace(0, 1)": (
            standard(Laplace, 1),
            -b.log() - 1 + loc.abs() + tail,
            1 + loc**2 + 2 * b**2 - (loc.abs() + tail) ** 2 - 2 * (loc.abs() + b) * tail / b,
        ),
    }
    q = diagonal(Laplace(loc, b))
    rows = []
    for name, (p, kl, variance) in exact.items():
        z = draws_from(q, DRAWS, generator)
        k1 = _k1(q, p, z)
        rows += [
            exact_row("closed_form", f"KL, Laplace q, prior {name}", kl_divergence(q, p), kl),
            mean_row("monte_carlo (k1)", f"KL, Laplace q, prior {name}", k1, kl),
            variance_row("monte_carlo (k1)", f"variance, Laplace q, prior {name}", k1, variance),
        ]
    return rows


def _other_rows(generator: torch.Generator) -> list[Row]:
    """Full Gaussian (closed form), mixture prior (quadrature) and flow (its density integrates to one)."""
    tril = torch.tensor([[0.8, 0.0], [-0.5, 0.6]], dtype=torch.float64)
    full = MultivariateNormal(LOC[:2], scale_tril=tril)
    kl = 0.5 * (tril.square().sum() + LOC[:2].square().sum() - 2) - tril.diagonal().log().sum()
    z = draws_from(full, DRAWS, generator)
    p = standard(Normal, 2)
    centres = torch.tensor([[-1.0], [1.5]], dtype=torch.float64)
    mixture = MixtureSameFamily(
        Categorical(torch.tensor([0.3, 0.7], dtype=torch.float64)), diagonal(Normal(centres, torch.ones_like(centres)))
    )
    narrow = diagonal(Normal(LOC[:1], SCALE[:1] / 2))
    grid = torch.linspace(-10, 10, 4001, dtype=torch.float64).unsqueeze(-1)
    density = narrow.log_prob(grid)
    mixture_kl = torch.trapezoid(density.exp() * (density - mixture.log_prob(grid)), grid[:, 0])
    y = draws_from(narrow, DRAWS, generator)
    return [
        exact_row("closed_form", "KL, full Gaussian q", kl_divergence(full, p), kl),
        mean_row("monte_carlo (k1)", "KL, full Gaussian q", _k1(full, p, z), kl),
        mean_row("monte_carlo (k1)", "KL, mixture prior", _k1(narrow, mixture, y), mixture_kl),
        _flow_row(generator),
    ]


def _flow_row(generator: torch.Generator) -> Row:
    """E_q[h/q] = 1 for any density h: here a Gaussian within the flow's reach. Wrong densities or draws break it."""
    settings = FlowPosterior(hidden=(16,), context=2)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(int(torch.randint(2**31, (), generator=generator)))
        head = FlowHead(2, settings.context, settings.transforms, settings.hidden, settings.coupling).double()
    with torch.no_grad():
        q = head(torch.ones(1, settings.context, dtype=torch.float64))
        z = reparameterise(q, torch.randn(20_000, 1, 2, generator=generator, dtype=torch.float64))
        inside = diagonal(Normal(z.mean(0), 0.5 * z.std(0)))
        z = reparameterise(q, torch.randn(20_000, 1, 2, generator=generator, dtype=torch.float64))
        return mean_row("flow posterior", "E_q[h/q] of a density h", (inside.log_prob(z) - q.log_prob(z)).exp(), 1.0)
