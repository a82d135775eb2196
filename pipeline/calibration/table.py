"""The calibration table: every estimator of the package against exact values, with z-scores.

The exact values come from closed forms (Gaussian and Laplace KLs, the linear-Gaussian model) or from quadrature, never
from the estimator itself. Biased estimators are compared with their exact expectation, and bounds whose bias is unknown
on one side only. Where a moment is infinite (k3 with a posterior variance <= 1/2) no z-score exists, so each case is
chosen where it is finite.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from pipeline.calibration.evidence import annealing_rows, bound_rows, elbo_rows, evidence_rows
from pipeline.calibration.gradients import gradient_rows
from pipeline.calibration.kl_estimators import kl_rows
from pipeline.calibration.latent_space import latent_space_rows
from pipeline.calibration.rows import BY_ULPS, Row, is_off
from pipeline.calibration.schemes import scheme_rows
from pipeline.probability.sampling import replicate_seed

SECTIONS: dict[str, Callable[[torch.Generator], list[Row]]] = {
    "KL estimators": kl_rows,
    "sampling schemes": scheme_rows,
    "latent space": latent_space_rows,
    "ELBO": elbo_rows,
    "bounds": bound_rows,
    "evidence": evidence_rows,
    "annealing": annealing_rows,
    "gradients": gradient_rows,
}
LIMIT = 5.0
"""Largest |z| that passes: a chance of 6e-7 for each row."""


def calibrate(seed: int = 0, progress: Callable[[str], None] | None = None) -> list[Row]:
    """Rows (`rows.Row`), in a fixed order.

    Args:
        seed: of all draws; each section has its own stream.
        progress: called with the name of each section before it starts.
    """
    rows = []
    for number, (name, section) in enumerate(SECTIONS.items()):
        if progress is not None:
            progress(name)
        rows += section(torch.Generator().manual_seed(replicate_seed(seed, number, "calibration")))
    return rows


def worst(rows: Sequence[Row]) -> float:
    """The largest |z|; infinite if any is not a number, or a deterministic row is off: what is broken cannot pass."""
    scores = [abs(row["z_score"]) for row in rows if row["compared"] != BY_ULPS]
    scores += [float("inf") for row in rows if row["compared"] == BY_ULPS and is_off(row, LIMIT)]
    return max((score if score == score else float("inf") for score in scores), default=0.0)
