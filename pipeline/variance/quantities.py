"""What the variance study measures: every KL estimator, the reconstruction, and the ways to put a bound together."""

from __future__ import annotations

from typing import NamedTuple

from pipeline.probability.bounds import BOUNDS
from pipeline.probability.kl.estimator import SAMPLED, KLEstimator
from pipeline.probability.kl.registry import KL_ESTIMATORS


class Studied(NamedTuple):
    """One quantity of the table `variance`: its name, its words in the report, and how a draw of it is computed."""

    name: str
    label: str
    parts: tuple[str, ...]


def _sampled(estimator: KLEstimator) -> tuple[str, ...]:
    return tuple(part for part in SAMPLED if part in estimator.needs)


STUDIED = {
    quantity.name: quantity
    for quantity in (
        *(Studied(*kl.quantity, _sampled(kl)) for kl in KL_ESTIMATORS.values() if kl.quantity),
        Studied("reconstruction", "reconstruction", ("log_px_z",)),
        *(Studied(*kl.elbo, ("log_px_z", *_sampled(kl))) for kl in KL_ESTIMATORS.values() if kl.elbo),
        Studied("iwae", BOUNDS["iwae"].label, ("log_px_z", "log_pz", "log_qz_x")),
    )
}
"""By name, in the order of rows and legends."""

PREDICTED = {kl.quantity.name: kl for kl in KL_ESTIMATORS.values() if kl.quantity}
"""The quantities that may have a variance in closed form, with the estimator that knows it."""
