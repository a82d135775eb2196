"""Lucas et al. (2019): the linear VAE's best bound is the likelihood of probabilistic PCA, which is known exactly."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor

from analysis.tables import Sweep
from pipeline.config import DataConfig
from pipeline.data.images import load
from pipeline.model.linear_gaussian import fit_ppca, optimal_active_units
from tests.reproductions.lines import Line, Sweeps, mean, replicates

CLOSE = 1.0
"""Nats per image between the trained bound and the exact optimum that count as the same."""


def lines(sweeps: Sweeps, data_dir: Path | None = None) -> list[Line]:
    return [line for sweep in sweeps.values() for line in _of(sweep, data_dir)]


def _of(sweep: Sweep, data_dir: Path | None) -> list[Line]:
    done = replicates(sweep)
    train, test = _grey(
        str(done["data.name"].iloc[0]), int(done["evaluation.max_images"].fillna(10**9).iloc[0]), data_dir
    )
    found = []
    for (dim, learnt), group in done.groupby(["model.latent_dim", "model.likelihood.learn_scale"]):
        if learnt:
            exact = float(fit_ppca(train, int(dim)).log_px(test).mean())
            elbo = float(group["test.elbo"].mean())
            quantity = f"{sweep.name}: test bound at D = {dim}, learnt noise, nats of density"
            holds = abs(exact - elbo) < CLOSE
            found.append(Line(quantity, f"{exact:.2f} (exact)", mean(group, "test.elbo", 2), holds))
        else:
            expected = min(int(dim), optimal_active_units(train, float(group["model.likelihood.scale"].iloc[0])))
            units = mean(group, "test.active_units", 1)
            holds = math.isclose(float(group["test.active_units"].mean()), expected, abs_tol=1)
            quantity = f"{sweep.name}: active units at D = {dim}, noise fixed"
            found.append(Line(quantity, f"{expected} (eigenvalues)", units, holds))
    return found


def _grey(name: str, most: int, data_dir: Path | None) -> tuple[Tensor, Tensor]:
    """Grey values of the training images and of the images that were measured, float64."""
    data = load(DataConfig(name=name), data_dir)
    return tuple(x.flatten(1).to(torch.float64) / (data.levels - 1) for x in (data.train, data.test[:most]))  # type: ignore[return-value]
