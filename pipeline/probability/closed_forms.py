"""Which KL divergences and entropies torch.distributions knows, by the names of the configuration.

Plain data, so that a configuration is checked without loading torch; a test holds it against torch for every pair.
"""

from __future__ import annotations

_SEPARABLE = ("standard_normal", "laplace")
"""Priors of independent dimensions, against which every KL below has a closed form."""

CLOSED_FORM_KL = {"gaussian": _SEPARABLE, "full_gaussian": _SEPARABLE, "laplace": _SEPARABLE}
"""Posterior -> priors. A posterior that is not here has no closed form."""

CLOSED_FORM_ENTROPY = ("gaussian", "full_gaussian", "laplace")
"""Posteriors whose entropy has a closed form."""


def has_closed_form_kl(posterior_name: str, prior_name: str) -> bool:
    """Whether KL(q | p) has a closed form."""
    return prior_name in CLOSED_FORM_KL.get(posterior_name, ())


def has_closed_form_entropy(posterior_name: str) -> bool:
    """Whether the entropy of q has a closed form."""
    return posterior_name in CLOSED_FORM_ENTROPY
