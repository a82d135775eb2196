"""Calibration of the ELBO, the bounds and the evidence estimators on linear-Gaussian VAEs, where log p(x) is known."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Independent, MultivariateNormal, Normal, kl_divergence

from pipeline.calibration.cases import Case, expected_log_mean, linear_case
from pipeline.calibration.kl_estimators import FITTING
from pipeline.calibration.rows import Row, exact_row, mean_row, row, variance_row
from pipeline.evaluation import annealing, evidence
from pipeline.model.vae import Terms
from pipeline.probability.bounds import BOUNDS
from pipeline.probability.kl.control_variate import best_coefficient
from pipeline.probability.kl.estimator import SAMPLED, KLEstimator, Need
from pipeline.probability.kl.registry import KL_ESTIMATORS


def elbo_rows(generator: torch.Generator) -> list[Row]:
    """Reconstruction and ELBO at one image: values, and the variance of each way to estimate the ELBO."""
    case = linear_case(3, 1, generator)
    q = case.posterior()
    noise = torch.randn(100_000, 1, 3, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        terms = case.vae.terms(case.x, noise)
    exact = case.model.reconstruction(case.flat, q)
    elbo = case.model.elbo(case.flat, q)
    return [
        mean_row("reconstruction", "E log p(x|z)", terms.log_px_z, exact),
        exact_row("linear_gaussian", "ELBO + KL(q | posterior) = log p(x)", elbo + case.model.gap(case.flat, q),
                  case.model.log_px(case.flat)),
        *(row for kl in KL_ESTIMATORS.values() if kl.elbo for row in _rows_of_elbo(case, q, terms, kl)),
    ]  # fmt: skip


def _rows_of_elbo(case: Case, q: Independent[Normal], terms: Terms, estimator: KLEstimator) -> list[Row]:
    """Mean and variance of the ELBO with one KL estimator; the variance where the draws are a mixture of k1 and KL."""
    needs: dict[Need, Tensor] = {
        "log_pz": terms.log_pz,
        "log_qz_x": terms.log_qz_x,
        "kl": kl_divergence(q, case.vae.prior()),
        "entropy": q.entropy(),
    }
    log_px_z, share = terms.log_px_z, {"closed_form": 0.0, "monte_carlo": 1.0}.get(estimator.name)
    if "coefficient" in estimator.needs:
        k1 = terms.log_qz_x - terms.log_pz
        needs["coefficient"] = best_coefficient(log_px_z[:FITTING], k1[:FITTING])
        log_px_z, share = log_px_z[FITTING:], float(needs["coefficient"])
        needs |= {name: needs[name][FITTING:] for name in SAMPLED}
    assert estimator.elbo is not None
    draws = log_px_z - estimator.draws(needs)
    rows = [mean_row(estimator.elbo.name, "ELBO", draws, case.model.elbo(case.flat, q))]
    if share is not None:
        exact = elbo_variance(case, q, share)
        rows.append(variance_row(estimator.elbo.name, "variance given x", draws, exact))
    return rows


def elbo_variance(case: Case, q: Independent[Normal], share: float) -> float:
    """Variance of one draw of log p(x|z) - share * k1 - (1 - share) * KL: quadratic in the noise, e' A e + b' e."""
    loc, scale = q.base_dist.loc[0], torch.diag(q.base_dist.scale[0])
    loading = case.model.weight @ scale / case.model.scale
    residual = (case.flat[0] - case.model.bias - case.model.weight @ loc) / case.model.scale
    square = -0.5 * loading.T @ loading + 0.5 * share * (torch.eye(len(loc), dtype=torch.float64) - scale @ scale)
    linear = loading.T @ residual - share * scale @ loc
    return float(2 * (square @ square).trace() + linear.square().sum())


def bound_rows(generator: torch.Generator) -> list[Row]:
    """Importance-weighted bounds and their jackknife in one latent dimension, where their expectations are known."""
    case = linear_case(1, 1, generator)
    posterior = case.model.posterior(case.flat)
    q = MultivariateNormal(posterior.loc + 0.2, 1.8 * posterior.covariance_matrix)
    log_px = case.model.log_px(case.flat)

    def weights(num: int, repeats: int = 1) -> Tensor:
        noise = torch.randn(num, repeats, 1, generator=generator, dtype=torch.float64)
        return weights_of(case, q, noise)

    rows = []
    for num in (1, 8, 64):
        log_weights = weights(num, 100_000 // num)
        for bound in BOUNDS.values():
            if bound.uses_all_draws and num >= bound.least_draws:
                exact = bound.expectation(lambda count: expected_bound(case, q, count), num)
                rows.append(mean_row(f"{bound.name}_{num}", bound.about, bound.of(log_weights), exact, num))
    second = (2 * (weights(100_000) - log_px)).exp()
    rows.append(
        mean_row("importance weights", "E w^2 / p(x)^2", second, case.model.log_weight_moment(case.flat, q).exp())
    )
    for name, estimate in (
        ("importance_bound", evidence.importance_bound(weights, 100_000, chunk=7000)),
        ("jackknife_bound", evidence.jackknife_bound(weights, 100_000, chunk=7000)),
    ):
        rows.append(_evidence_row(name, "log p(x), 100,000 draws in chunks", estimate, log_px))
    return rows


def evidence_rows(generator: torch.Generator) -> list[Row]:
    """Prior Monte Carlo and quadrature against log p(x)."""
    case = linear_case(3, 1, generator)
    log_px = case.model.log_px(case.flat)
    prior = evidence.prior_monte_carlo(evidence.prior_draws(case.vae, case.x, generator), 100_000, chunk=4096)
    # Fourth moments, which the error of a variance needs, are tame for x at the mode of p(x).
    mode = Case(case.vae, case.model, case.model.bias.view(1, *case.x.shape[1:]), case.posterior_draw)
    ratios = evidence.prior_draws(case.vae, mode.x, generator)(100_000) - case.model.log_px(mode.flat)
    rows = [
        _evidence_row("prior_monte_carlo", "log p(x)", prior, log_px),
        variance_row(
            "prior_monte_carlo", "relative variance rho", ratios.exp(), case.model.prior_monte_carlo_rho(mode.flat)
        ),
    ]
    for dim in (1, 2):
        small = linear_case(dim, 1, generator)
        zeros = torch.zeros(1, dim, dtype=torch.float64)
        grid = evidence.quadrature(
            evidence.log_joint_of(small.vae, small.x), zeros, torch.ones_like(zeros), num_points=97
        )
        rows.append(
            exact_row("quadrature", f"log p(x), D = {dim}", grid.value, small.model.log_px(small.flat), grid.num_draws)
        )
    return rows


def annealing_rows(generator: torch.Generator) -> list[Row]:
    """Annealed weights have mean p(x), reversed ones 1 / p(x), exactly; and the bounds lie on their sides.

    Over images, with two chains each: the mean of w / p(x) is 1 however rough the annealing is.
    """
    case = linear_case(2, 400, generator)
    log_px = case.model.log_px(case.flat)
    prior_path = annealing.from_prior(case.vae, case.x, generator, num_temperatures=12)
    own_path = annealing.from_posterior(case.vae, case.x, generator, num_temperatures=12)
    lower, upper = annealing.bdmc(prior_path, case.posterior_draw.expand(2, -1, -1), generator)
    from_q = annealing.ais(own_path, 2, generator)
    return [
        mean_row("ais", "E w / p(x), from the prior", (lower.value - log_px).exp(), 1.0, lower.num_draws),
        mean_row("ais", "E w / p(x), from q", (from_q.value - log_px).exp(), 1.0, from_q.num_draws),
        mean_row("ais", "lower bound - log p(x) <= 0", lower.value - log_px, 0.0, lower.num_draws, side="below"),
        mean_row("bdmc", "E p(x) / w, in reverse", (log_px - upper.value).exp(), 1.0, upper.num_draws),
        mean_row("bdmc", "upper bound - log p(x) >= 0", upper.value - log_px, 0.0, upper.num_draws, side="above"),
    ]


def weights_of(case: Case, q: MultivariateNormal, noise: Float[Tensor, "sample repeat latent"]) -> Tensor:
    """Log importance weights of the VAE's own densities for z ~ q."""
    z = q.loc + (q.scale_tril @ noise.unsqueeze(-1)).squeeze(-1)
    with torch.no_grad():
        log_px_z = case.vae.decode(z).log_prob(case.x)
    log_weights: Tensor = log_px_z + case.vae.prior().log_prob(z) - q.log_prob(z)
    return log_weights


def expected_bound(case: Case, q: MultivariateNormal, num_importance_samples: int) -> float:
    """E log mean of K weights in one dimension, from the closed-form densities (see `expected_log_mean`)."""
    noise = torch.linspace(-12, 12, 4001, dtype=torch.float64)
    z = q.loc + q.scale_tril[..., 0] * noise[:, None, None]
    log_weights = case.model.log_joint(case.flat, z) - q.log_prob(z)
    return float(expected_log_mean(log_weights, noise, num_importance_samples))


def _evidence_row(name: str, quantity: str, estimate: evidence.Evidence, exact: Tensor) -> Row:
    return row(name, quantity, float(estimate.value), float(exact), float(estimate.standard_error), estimate.num_draws)
