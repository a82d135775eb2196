"""The KL itself, where torch.distributions knows it."""

from __future__ import annotations

from pipeline.probability.kl.estimator import KLEstimator, Quantity, Terms
from pipeline.probability.tensors import Float, Tensor


class ClosedForm(KLEstimator):
    """KL(q | p): no draws, no variance."""

    name = "closed_form"
    label = "closed form"
    needs = ("kl",)
    elbo = Quantity("elbo_closed_form", "ELBO, closed-form KL")

    def draws(self, terms: Terms) -> Float[Tensor, "sample ..."]:
        return terms["kl"].unsqueeze(0)
