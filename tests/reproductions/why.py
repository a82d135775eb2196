"""What stands behind the lines that miss their range: measurements on the trained models of a row's sweep.

    python -m tests.reproductions.why dimension
    python -m tests.reproductions.why variance
    python -m tests.reproductions.why prior

Each prints a table; docs/reproductions.md quotes them under *Why*.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch.distributions import Independent, Normal

from analysis import tables
from analysis.curves import fit_slope
from pipeline import data as images
from pipeline import prior_study, trial_folder
from pipeline.config import ConfigError
from pipeline.draws import draw_terms
from pipeline.estimators import active_units, log_mean_exp, predicted_k1_variance
from pipeline.trained import load_vae
from pipeline.vae import VAE
from tests.reproductions.lines import interval, slope
from tests.reproductions.prior import TOLERANCES, crossing, evidence, needed

Models = Iterator[tuple[int, int, int, VAE, torch.Tensor]]

SIZES = (1, 4, 16, 64, 256)
CARRIES = 0.1
"""Nats of mean KL from which on a unit is said to carry something."""
MOVING = (1, 2, 4, 8, 16, 32)
PRIOR_DRAWS, PRIOR_IMAGES = 200_000, 16
"""Those of the row's specification."""


def trained(folder: Path) -> Models:
    """(latent_dim, trial, replicate, model, test images) of every finished trial."""
    sweep = tables.load(folder)
    data = None
    for trial in sweep.trials.loc[sweep.trials["status"] == "finished", "trial"]:
        home = folder / "trials" / f"{trial:04d}"
        config = trial_folder.read_config(home)
        data = images.load(config.data) if data is None else data
        for number in range(config.first_replicate, config.first_replicate + config.replicates):
            vae = load_vae(home, number, data=data)
            yield config.model.latent_dim, trial, number, vae, data.test


@torch.no_grad()
def dimension(runs: Path) -> pd.DataFrame:
    """What the many units carry: a unit counts as active from a variance of its mean of 0.01 on, which is about 0.005
    nats of KL."""
    rows = []
    for name in ("dimension_bernoulli", "dimension_4bit"):
        for dim, _, _, vae, test in trained(runs / name):
            q = vae.posterior(test).base_dist  # type: ignore[attr-defined]
            kl = (0.5 * (q.loc.square() + q.scale.square() - 1) - q.scale.log()).mean(0)
            carrying = kl > CARRIES
            row = {"sweep": name, "D": dim, "KL": float(kl.sum()), "active units": active_units(q.loc)}
            row |= {"units that carry": int(carrying.sum()), "KL of the others": float(kl[~carrying].sum())}
            rows.append(row)
    return pd.DataFrame(rows).groupby(["sweep", "D"], sort=False).mean().sort_index()


@torch.no_grad()
def variance(runs: Path) -> pd.DataFrame:
    """Var k1 against the second moment of the aggregate posterior, and Sobol's slope against the dimensions that move.

    Var k1 of a unit is E[(1 - s^2)^2 / 2 + m^2 s^2]; with E[m^2] + s^2 = 1 and one s for all images that is
    (1 - s^4) / 2, at most a half. A second moment above 1 lifts the bound.
    """
    rows = []
    for dim, _, _, vae, test in trained(runs / "variance"):
        q = vae.posterior(test)
        loc, scale = q.base_dist.loc.double(), q.base_dist.scale.double()  # type: ignore[attr-defined]
        row: dict[str, float] = {"D": dim, "Var k1": float(predicted_k1_variance(loc, scale).mean())}
        second = loc.square().mean(0) + scale.square().mean(0)
        row |= {"active": active_units(loc), "second moment": float(second[loc.var(0) > 0.01].mean())}
        # What Var k1 were if every unit had its own constant scale and a second moment of 1.
        row["matched"] = float(((1 - scale.square().mean(0).square()) / 2).sum())
        order = (0.5 * (second - 1) - scale.log().mean(0)).argsort(descending=True)
        for moving in MOVING if dim == MOVING[-1] else ():
            row[f"slope, {moving} move"] = sobol_slope(vae, test[:8], order[:moving])
        rows.append(row)
    return pd.DataFrame(rows).groupby("D").mean()


def sobol_slope(vae: VAE, x: torch.Tensor, moving: torch.Tensor, groups: int = 8) -> float:
    """Slope of log Var of the mean log p(x|z) against log L where only some dimensions of z leave their mean."""
    q = vae.posterior(x).base_dist  # type: ignore[attr-defined]
    scale = torch.full_like(q.scale, 1e-6)
    scale[:, moving] = q.scale[:, moving]
    held, generator = Independent(Normal(q.loc, scale), 1), torch.Generator().manual_seed(0)
    rows = []
    for size in SIZES:
        drawn = draw_terms(vae, x, held, size * groups, generator, scheme="sobol", group=size).log_px_z
        means = drawn.unflatten(0, (groups, size)).mean(1)
        rows.append({"num_samples": size, "variance": float(means.var(0).mean()), "trial": 0, "replicate": 0})
    return float(fit_slope(pd.DataFrame(rows), by=(), error=None)["slope"].iloc[0])


@torch.no_grad()
def prior(runs: Path) -> pd.DataFrame:
    """Slopes of log draws needed: against KL(q(z|x) | p(z)) as in the row, against the KL of the true posterior, and
    against the former were the posterior exactly q, with the same images, draws and straight lines."""
    measured = {tolerance: needed(evidence(tables.load(runs / "prior")), tolerance) for tolerance in TOLERANCES}
    kls, ideal = {}, []
    for _, trial, number, vae, test in trained(runs / "prior"):
        x, generator = test[:PRIOR_IMAGES], torch.Generator().manual_seed(number)
        kls[trial, number] = float(posterior_kl(vae, x, generator).mean())
        ideal += [{"tolerance": t, "kl": kl, "log_draws": draws} for t, kl, draws in _were_it_q(vae, x, generator)]
    rows = {}
    for tolerance, models in measured.items():
        true = models.set_index(["trial", "replicate"]).index.map(kls).to_series(index=models.index)
        same = pd.DataFrame(ideal).query("tolerance == @tolerance")
        rows[tolerance] = {
            "measured, KL of q": interval(*slope(models["kl"], models["log_draws"])),
            "measured, KL of the posterior": interval(*slope(true, models["log_draws"])),
            "were the posterior q": interval(*slope(same["kl"], same["log_draws"])),
            "KL of q, of the posterior": f"{models['kl'].mean():.2f}, {true.mean():.2f}",
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("bias of at most, nats")


def posterior_kl(vae: VAE, x: torch.Tensor, generator: torch.Generator, num_draws: int = 8192) -> torch.Tensor:
    """KL(p(z|x) | p(z)) = E[log p(x|z)] under p(z|x) less log p(x), by self-normalised importance weights."""
    terms = draw_terms(vae, x, vae.posterior(x), num_draws, generator)
    weights = terms.log_weights.softmax(0)
    return (weights * terms.log_px_z).sum(0) - log_mean_exp(terms.log_weights)


def _were_it_q(vae: VAE, x: torch.Tensor, generator: torch.Generator) -> Iterator[tuple[float, float, float]]:
    """(tolerance, mean KL, mean log draws needed) with p(x|z) = q(z|x) / p(z), whose evidence is 1."""
    q, p = vae.posterior(x), vae.prior()
    means = [prior_study.LogMeans(10**power) for power in range(6)]
    for _ in range(PRIOR_DRAWS // prior_study.PIECE):
        z = torch.randn(prior_study.PIECE, 1, vae.latent_dim, generator=generator)
        for mean in means:
            mean.add((q.log_prob(z) - p.log_prob(z)).double())
    bias, log_sizes = torch.stack([mean.mean for mean in means]).numpy(), np.log([mean.size for mean in means])
    for tolerance in TOLERANCES:
        draws = np.nanmean([crossing(log_sizes, bias[:, image], tolerance) for image in range(len(x))])
        yield tolerance, float(torch.distributions.kl_divergence(q, p).mean()), float(draws)


ROWS = {"dimension": dimension, "variance": variance, "prior": prior}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("row", choices=ROWS)
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"))
    arguments = parser.parse_args()
    try:
        table = ROWS[arguments.row](arguments.runs_dir)
    except ConfigError as error:
        raise SystemExit(str(error)) from None
    print(table.to_string(float_format="%.2f"))


if __name__ == "__main__":
    main()
