"""What a training step minimises: a bound (`elbo`, `iwae`), with estimators of its KL term and of its gradient."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from jaxtyping import Float, Shaped
from torch import Tensor
from torch.distributions import Distribution, Independent, kl_divergence

from pipeline.config import ElboObjective, TrialConfig
from pipeline.model.vae import VAE
from pipeline.probability.bounds import importance_groups, log_mean_exp
from pipeline.probability.distributions import reparameterise
from pipeline.probability.gradients.estimator import GradientEstimator
from pipeline.probability.gradients.registry import GRADIENT_ESTIMATORS
from pipeline.probability.kl.control_variate import coefficient_of_other_images
from pipeline.probability.kl.estimator import KLEstimator, Need
from pipeline.probability.kl.registry import KL_ESTIMATORS

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

    name: ClassVar[str] = "elbo"
    num_samples: int
    kl: KLEstimator
    gradient: GradientEstimator
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
        z = self.gradient.draw(reparameterise(q, noise))
        log_px_z = vae.log_px_z(x, z)
        kl = self.kl_draws(q, p, z, log_px_z, kl_weight)
        penalty = self._less_free_bits(kl, vae.latent_dim)
        bound = log_px_z - kl_weight * penalty
        loss = self.gradient.loss(bound, bound.unsqueeze(1), z, lambda: q.log_prob(z).unsqueeze(1))
        reconstruction, total = -log_px_z.detach().mean(), kl.detach().sum(-1).mean()
        return StepTerms(loss, -reconstruction - total, reconstruction, total)

    def kl_draws(self, q: Distribution, p: Distribution, z: Tensor, log_px_z: Draws, kl_weight: float) -> GroupDraws:
        """Draws of the KL. Groups are the latent dimensions where free bits can tell them apart, else all as one."""
        if self.free_bits and isinstance(q, Independent) and isinstance(p, Independent):
            return self._draws(q.base_dist, p.base_dist, z, log_px_z, kl_weight)
        return self._draws(q, p, z, log_px_z, kl_weight).unsqueeze(-1)

    def _draws(self, q: Distribution, p: Distribution, z: Tensor, log_px_z: Draws, kl_weight: float) -> Tensor:
        """[sample, batch], and a last axis if q and p have one; what the estimator does not need is not computed."""
        sources: dict[Need, Callable[[], Tensor]] = {
            "log_pz": lambda: p.log_prob(z),
            "entropy": q.entropy,
            "log_qz_x": lambda: self.gradient.log_qz_x(q, z, mean_zero_score=self.kl.mean_zero_score),
            "kl": lambda: kl_divergence(q, p),
        }
        terms = {name: source() for name, source in sources.items() if name in self.kl.needs}
        if "coefficient" in self.kl.needs:
            k1 = (terms["log_qz_x"] - terms["log_pz"]).detach().reshape(*log_px_z.shape, -1).sum(-1)
            coefficient = coefficient_of_other_images(log_px_z.detach(), kl_weight * k1)
            terms["coefficient"] = coefficient.reshape(-1, *[1] * (terms["kl"].ndim - 1))
        return self.kl.draws(terms)

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

    name: ClassVar[str] = "iwae"
    num_samples: int
    num_importance_samples: int
    gradient: GradientEstimator

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
        z = self.gradient.draw(reparameterise(q, noise))
        log_px_z, log_pz = vae.log_px_z(x, z), p.log_prob(z)
        # The score terms of K draws are weighted by their normalised weights, so their mean is not zero.
        log_qz_x = self.gradient.log_qz_x(q, z, mean_zero_score=False)
        groups = self._groups(log_px_z + log_pz - log_qz_x)
        bound = log_mean_exp(groups, dim=1)
        loss = self.gradient.loss(bound, groups, z, lambda: self._groups(log_qz_x))
        reconstruction, kl = -log_px_z.detach().mean(), (log_qz_x - log_pz).detach().mean()
        return StepTerms(loss, -reconstruction - kl, reconstruction, kl)

    def _groups(self, draws: Draws) -> Float[Tensor, "outer inner batch"]:
        return importance_groups(draws, self.num_importance_samples)


Objective = Elbo | Iwae
"""Has `num_draws`, the draws of z per image that a step needs, and is called with the model, images and noise."""


def build_objective(config: TrialConfig) -> Objective:
    """The objective that the configuration names, with its estimators."""
    objective, gradient = config.objective, GRADIENT_ESTIMATORS[config.gradient.estimator]
    if isinstance(objective, ElboObjective):
        return Elbo(objective.num_samples, KL_ESTIMATORS[config.kl.estimator], gradient, objective.free_bits)
    return Iwae(objective.num_samples, objective.num_importance_samples, gradient)
