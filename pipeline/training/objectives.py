"""What a training step minimises: a bound (`elbo`, `iwae`), an estimator of its KL term, an estimator of its gradient.

The gradient estimators share one surrogate: automatic differentiation of the draws, after the score term
d log q(z|x) / d parameters was kept (`pathwise`), left out (`stl`, `dreg`), or made the only way to the encoder
(`score_function`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float, Shaped
from torch import Tensor
from torch.distributions import Distribution, Independent, kl_divergence

from pipeline.config import ElboObjective, TrialConfig
from pipeline.model.vae import VAE
from pipeline.probability import kl as estimators
from pipeline.probability.bounds import importance_groups, leave_one_out_bound, log_mean_exp
from pipeline.probability.distributions import path_log_prob, reparameterise

Draws = Float[Tensor, "sample batch"]
GroupDraws = Float[Tensor, "draw batch group"]


class StepTerms(NamedTuple):
    """Means over batch and draws, in nats per image. All but the loss are detached, and free of beta and free bits."""

    loss: Float[Tensor, ""]
    """What is minimised; its gradient is the chosen estimator's."""
    elbo: Float[Tensor, ""]
    reconstruction: Float[Tensor, ""]
    """-E log p(x|z)"""
    kl: Float[Tensor, ""]


@dataclass(frozen=True)
class Elbo:
    """E log p(x|z) - weight * KL(q(z|x) | p(z)), the mean over L = `num_samples` draws.

    Free bits (Kingma et al. 2016, equation 15): per latent dimension at least `free_bits` nats of KL, averaged over the
    batch, come free. Where q or p ties dimensions together (full_gaussian, flows, mixtures), all of them are one group
    with `free_bits` times their number. With a sampled KL it is the estimate that is compared.
    """

    num_samples: int
    kl_estimator: str
    gradient_estimator: str
    free_bits: float = 0.0

    @property
    def num_draws(self) -> int:
        return self.num_samples

    def __call__(
        self,
        vae: VAE,
        x: Shaped[Tensor, "batch height width"],
        noise: Float[Tensor, "sample batch dim"],
        kl_weight: float = 1.0,
    ) -> StepTerms:
        q, p = vae.posterior(x), vae.prior()
        z = reparameterise(q, noise)
        if self.gradient_estimator == "score_function":
            z = z.detach()
        log_px_z = vae.log_px_z(x, z)
        kl = self._kl(q, p, z, log_px_z, kl_weight)
        penalty = self._less_free_bits(kl, vae.latent_dim)
        bound = log_px_z - kl_weight * penalty
        loss = -bound.mean()
        if self.gradient_estimator == "score_function":
            loss = loss - score_surrogate(bound, leave_one_out_mean(bound), q.log_prob(z))
        reconstruction, total = -log_px_z.detach().mean(), kl.detach().sum(-1).mean()
        return StepTerms(loss, -reconstruction - total, reconstruction, total)

    def _kl(self, q: Distribution, p: Distribution, z: Tensor, log_px_z: Draws, kl_weight: float) -> GroupDraws:
        """Draws of the KL. Groups are the latent dimensions where free bits can tell them apart, else all as one."""
        if self.free_bits and isinstance(q, Independent) and isinstance(p, Independent):
            return self._kl_draws(q.base_dist, p.base_dist, z, log_px_z, kl_weight)
        return self._kl_draws(q, p, z, log_px_z, kl_weight).unsqueeze(-1)

    def _kl_draws(self, q: Distribution, p: Distribution, z: Tensor, log_px_z: Draws, kl_weight: float) -> Tensor:
        """[sample, batch], and a last axis if q and p have one; a closed form counts as one draw."""
        if self.kl_estimator == "closed_form":
            return kl_divergence(q, p).unsqueeze(0)
        log_pz = p.log_prob(z)
        if self.kl_estimator == "cross_entropy":
            return estimators.cross_entropy_kl(q.entropy(), log_pz)
        if self.kl_estimator == "monte_carlo_k3":
            return estimators.k3(q.log_prob(z), log_pz)
        # The score of k1's log q has mean zero, so it may be left out; that of k3 has not.
        keeps_score = self.gradient_estimator == "pathwise"
        k1 = estimators.k1(q.log_prob(z) if keeps_score else path_log_prob(q, z), log_pz)
        if self.kl_estimator == "monte_carlo":
            return k1
        total = k1.detach().reshape(*log_px_z.shape, -1).sum(-1)
        coefficient = coefficient_of_other_images(log_px_z.detach(), kl_weight * total)
        closed_form = kl_divergence(q, p)
        return estimators.control_variate_kl(k1, closed_form, coefficient.reshape(-1, *[1] * (closed_form.ndim - 1)))

    def _less_free_bits(self, kl: GroupDraws, latent_dim: int) -> Float[Tensor, "draw batch"]:
        """Each draw's penalty, whose mean is sum_g max(free bits, KL_g): linear in the draws once the active groups are
        known, so every gradient estimator applies to it."""
        if not self.free_bits:
            return kl.sum(-1)
        free = self.free_bits * latent_dim / kl.shape[-1]
        active = kl.detach().mean((0, 1)) > free
        return torch.where(active, kl, free).sum(-1)


@dataclass(frozen=True)
class Iwae:
    """E log mean_k p(x, z_k) / q(z_k|x), K = `num_importance_samples` (Burda et al. 2016), the mean over L groups."""

    num_samples: int
    num_importance_samples: int
    gradient_estimator: str

    @property
    def num_draws(self) -> int:
        return self.num_samples * self.num_importance_samples

    def __call__(
        self,
        vae: VAE,
        x: Shaped[Tensor, "batch height width"],
        noise: Float[Tensor, "sample batch dim"],
        kl_weight: float = 1.0,
    ) -> StepTerms:
        if kl_weight != 1:
            raise ValueError(f"kl_weight must be 1 with objective 'iwae', got {kl_weight}")
        q, p = vae.posterior(x), vae.prior()
        z = reparameterise(q, noise)
        if self.gradient_estimator == "score_function":
            z = z.detach()
        log_px_z, log_pz = vae.log_px_z(x, z), p.log_prob(z)
        log_qz_x = path_log_prob(q, z) if self.gradient_estimator == "dreg" else q.log_prob(z)
        log_weights = log_px_z + log_pz - log_qz_x
        groups = importance_groups(log_weights, self.num_importance_samples)
        bound = log_mean_exp(groups, dim=1)
        loss = -bound.mean()
        if self.gradient_estimator == "score_function":
            log_q = importance_groups(log_qz_x, self.num_importance_samples)
            loss = loss - score_surrogate(bound.unsqueeze(1), _baseline(groups), log_q) * self.num_importance_samples
        if self.gradient_estimator == "dreg" and z.requires_grad:
            # Doubly reparameterised (Tucker et al. 2019, equation 8): the encoder's path derivatives carry the squared
            # normalised weights. Back-propagation brings one factor; the hook on z, which only they pass, the other.
            normalised = groups.detach().softmax(1).flatten(0, 1).unsqueeze(-1)
            z.register_hook(lambda gradient: gradient * normalised)
        reconstruction, kl = -log_px_z.detach().mean(), (log_qz_x - log_pz).detach().mean()
        return StepTerms(loss, -reconstruction - kl, reconstruction, kl)


Objective = Elbo | Iwae
"""Has `num_draws`, the draws of z per image that a step needs, and is called with the model, images and noise."""


def build_objective(config: TrialConfig) -> Objective:
    objective = config.objective
    if isinstance(objective, ElboObjective):
        return Elbo(objective.num_samples, config.kl.estimator, config.gradient.estimator, objective.free_bits)
    return Iwae(objective.num_samples, objective.num_importance_samples, config.gradient.estimator)


def score_surrogate(
    bound: Float[Tensor, "sample ..."], baseline: Float[Tensor, "sample ..."], log_qz_x: Float[Tensor, "sample ..."]
) -> Float[Tensor, ""]:
    """Value 0, gradient mean((bound - baseline) * d log q(z|x)): the score-function term (Williams 1992)."""
    return ((bound - baseline).detach() * (log_qz_x - log_qz_x.detach())).mean()


def leave_one_out_mean(draws: Float[Tensor, "sample ..."]) -> Float[Tensor, "sample ..."]:
    """The mean of the other draws: a baseline that is independent of the draw it is subtracted from."""
    return (draws.sum(0) - draws) / (len(draws) - 1)


def _baseline(groups: Float[Tensor, "outer inner ..."]) -> Float[Tensor, "outer inner ..."]:
    """For each draw the bound without it: VIMCO with the arithmetic mean (Mnih & Rezende 2016, section 2.4)."""
    if groups.shape[1] > 1:
        return leave_one_out_bound(groups.detach(), dim=1)
    return leave_one_out_mean(groups.detach())


def coefficient_of_other_images(log_px_z: Draws, k1_draws: Draws) -> Float[Tensor, " batch"]:
    """The control variate's c for each image, fitted on the draws of all other images of the batch.

    Draws of different images are independent, so the estimate stays unbiased without a decoder call for draws that
    would serve the fit alone, and without a state between steps. One image alone gets c = 0, the closed form.
    """
    covariance = estimators.covariance_over_draws(log_px_z, k1_draws)
    variance = estimators.covariance_over_draws(k1_draws, k1_draws)
    others = variance.sum() - variance
    return torch.where(others > 0, (covariance.sum() - covariance) / others, 0.0)
