"""The doubly reparameterised gradient of the importance-weighted bound."""

from __future__ import annotations

from collections.abc import Callable

from pipeline.probability.gradients.estimator import GradientEstimator, path_log_prob
from pipeline.probability.tensors import Distribution, Float, Tensor


class DoublyReparameterised(GradientEstimator):
    """Tucker et al. 2019, equation 8: the encoder's path derivatives carry the squared normalised weights."""

    name = "dreg"
    label = "doubly reparameterised"
    objectives = ("iwae",)
    needs_independent_draws = True

    def log_qz_x(
        self, q: Distribution, z: Float[Tensor, "sample batch dim"], *, mean_zero_score: bool
    ) -> Float[Tensor, "sample batch ..."]:
        return path_log_prob(q, z)

    def loss(
        self,
        bound: Float[Tensor, "outer batch"],
        groups: Float[Tensor, "outer inner batch"],
        z: Float[Tensor, "sample batch dim"],
        log_qz_x: Callable[[], Tensor],
    ) -> Float[Tensor, ""]:
        """Back-propagation brings one factor of the weights; the hook on z, which only the encoder's path derivatives
        pass, brings the other."""
        if z.requires_grad:
            normalised = groups.detach().softmax(1).flatten(0, 1).unsqueeze(-1)
            z.register_hook(lambda gradient: gradient * normalised)
        return -bound.mean()
