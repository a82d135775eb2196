"""Calibration of the sampling schemes."""

from __future__ import annotations

import torch
from torch.distributions import Normal

from pipeline.calibration.gaussian import KL, LOC, SCALE, diagonal, standard
from pipeline.calibration.rows import Row, mean_row, variance_row
from pipeline.probability import sampling
from pipeline.probability.distributions import reparameterise
from pipeline.probability.kl.registry import KL_ESTIMATORS
from pipeline.probability.schemes.registry import SCHEMES

REPEATS = 20_000


def scheme_rows(generator: torch.Generator) -> list[Row]:
    """k1 averaged over L draws under each scheme: same mean, and the predicted variance where there is one.

    L is 4, and 16 where no variance is predicted.
    """
    q, p = diagonal(Normal(LOC, SCALE)), standard(Normal)
    k1 = KL_ESTIMATORS["monte_carlo"]
    parts = k1.gaussian(LOC, SCALE)
    assert parts is not None
    rows = []
    for name, scheme in SCHEMES.items():
        size = 16 if scheme.variance(parts, 4) is None else 4
        variance = scheme.variance(parts, size)
        noise = sampling.draw(name, size, REPEATS, 3, generator=generator, dtype=torch.float64)
        z = reparameterise(q, noise)
        averages = k1.draws({"log_qz_x": q.log_prob(z), "log_pz": p.log_prob(z)}).mean(0)
        rows.append(mean_row(f"sampling {name}", f"KL by k1, L = {size}", averages, KL, size))
        if variance is not None:
            rows.append(variance_row(f"sampling {name}", f"variance of k1, L = {size}", averages, variance, size))
    return rows
