"""A mixture of k1 and the closed form, chosen to cancel the noise of the reconstruction."""

from __future__ import annotations

from pipeline.probability.kl.estimator import KLEstimator, Parts, Quantity, Terms
from pipeline.probability.kl.monte_carlo import MonteCarlo
from pipeline.probability.tensors import Float, Tensor


class ControlVariate(KLEstimator):
    """c k1 + (1 - c) KL: unbiased for any c fixed before the draws; c = 0 is the closed form, c = 1 is k1."""

    name = "control_variate"
    label = "control variate"
    needs = ("log_pz", "log_qz_x", "kl", "coefficient")
    elbo = Quantity("elbo_control_variate", "ELBO, control variate")
    mean_zero_score = True
    least_draws = 2
    least_draws_for = "to fit its coefficient"

    def draws(self, terms: Terms) -> Float[Tensor, "sample ..."]:
        k1 = terms["log_qz_x"] - terms["log_pz"]
        return terms["kl"] + terms["coefficient"] * (k1 - terms["kl"])

    def gaussian(self, loc: Float[Tensor, "*batch dim"], scale: Float[Tensor, "*batch dim"]) -> Parts:
        """That of k1, at c = 1; it grows as c^2."""
        return MonteCarlo().gaussian(loc, scale)


def best_coefficient(
    log_px_z: Float[Tensor, "sample ..."], k1_draws: Float[Tensor, "sample ..."]
) -> Float[Tensor, "*batch"]:
    """The c for which log p(x|z) - [c k1 + (1 - c) KL] varies least: Cov(log p(x|z), k1) / Var(k1), over the draws.

    Near the exact posterior the sampled KL cancels the noise of the reconstruction (c -> 1); far from it the closed
    form is better (c -> 0). Fit it on other draws than those it is used on, else the estimate is biased. 0 where k1 is
    constant.
    """
    covariance, variance = covariance_over_draws(log_px_z, k1_draws), covariance_over_draws(k1_draws, k1_draws)
    return (covariance / variance).where(variance > 0, 0.0)


def coefficient_of_other_images(
    log_px_z: Float[Tensor, "sample batch"], k1_draws: Float[Tensor, "sample batch"]
) -> Float[Tensor, " batch"]:
    """The c for each image, fitted on the draws of all other images of the batch.

    Draws of different images are independent, so the estimate stays unbiased without a decoder call for draws that
    would serve the fit alone, and without a state between steps. One image alone gets c = 0, the closed form.
    """
    covariance = covariance_over_draws(log_px_z, k1_draws)
    variance = covariance_over_draws(k1_draws, k1_draws)
    others = variance.sum() - variance
    return ((covariance.sum() - covariance) / others).where(others > 0, 0.0)


def covariance_over_draws(a: Float[Tensor, "sample ..."], b: Float[Tensor, "sample ..."]) -> Float[Tensor, "*batch"]:
    """Unbiased covariance along the first axis.

    Raises:
        ValueError: fewer than 2 draws.
    """
    if len(a) < 2:
        raise ValueError(f"a covariance needs at least 2 draws, got {len(a)}")
    return ((a - a.mean(0)) * (b - b.mean(0))).sum(0) / (len(a) - 1)
