"""What stands behind the lines that miss their range: measurements on the trained models of a row's sweep.

    python -m tests.reproductions.why dimension
    python -m tests.reproductions.why linear
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
from torch.distributions import Normal, kl_divergence

from analysis import tables
from pipeline.config import ConfigError
from pipeline.data import images
from pipeline.evaluation import prior_study
from pipeline.model.draws import draw_terms
from pipeline.model.linear_gaussian import fit_ppca, from_vae
from pipeline.model.vae import VAE
from pipeline.probability import sampling
from pipeline.probability.bounds import log_mean_exp
from pipeline.probability.diagnostics import active_units
from pipeline.probability.distributions import reparameterise
from pipeline.probability.kl.monte_carlo import MonteCarlo
from pipeline.trial import folder as trial_folder
from pipeline.trial import load_vae
from tests.reproductions.dimension import CURVES
from tests.reproductions.lines import interval, slope
from tests.reproductions.prior import TOLERANCES, crossing, evidence, needed

Models = Iterator[tuple[int, int, int, VAE, images.ImageData]]

SIZES = (1, 4, 16, 64, 256)
CARRIES = 0.1
"""Nats of mean KL from which on a unit is said to carry something."""
MOVING = (1, 2, 4, 8, 16, 32)
IMAGES = 2000
"""Test images whose bound is taken with some units left out, or in parts."""
LINEAR = "linear_digits", "linear_mnist"
SMALLER = 1e-4
"""A tenth of the linear VAEs' step size."""


def trained(folder: Path) -> Models:
    """(latent_dim, trial, replicate, model, images) of every finished trial."""
    sweep = tables.load(folder)
    data = None
    for trial in sweep.trials.loc[sweep.trials["status"] == "finished", "trial"]:
        home = folder / "trials" / f"{trial:04d}"
        config = trial_folder.read_config(home)
        data = images.load(config.data) if data is None else data
        for number in range(config.first_replicate, config.first_replicate + config.replicates):
            vae = load_vae(home, number, data=data)
            yield config.model.latent_dim, trial, number, vae, data


@torch.no_grad()
def dimension(runs: Path) -> pd.DataFrame:
    """What the many units carry, and what those that carry nothing cost: a unit counts as active from a variance of its
    mean of 0.01 on, which is about 0.005 nats of KL."""
    rows = []
    for name in CURVES:
        for dim, _, _, vae, data in trained(runs / name):
            test = data.test
            q = vae.posterior(test).base_dist  # type: ignore[attr-defined]
            kl = kl_divergence(q, Normal(0.0, 1.0)).mean(0)
            carrying = kl > CARRIES
            row = {"sweep": name, "D": dim, "KL": float(kl.sum()), "active units": active_units(q.loc)}
            row |= {"units that carry": int(carrying.sum()), "KL of the others": float(kl[~carrying].sum())}
            row["ELBO"] = bound_of(vae, test[:IMAGES], torch.ones_like(carrying))
            row["ELBO, the others left out"] = bound_of(vae, test[:IMAGES], carrying)
            rows.append(row)
    return pd.DataFrame(rows).groupby(["sweep", "D"]).agg(["mean", "sem"]).T.unstack()


def bound_of(vae: VAE, x: torch.Tensor, units: torch.Tensor, draws: int = 8) -> float:
    """ELBO in nats of the smaller model that has only some of the units: the decoder sees zeros for the others."""
    q = vae.posterior(x).base_dist  # type: ignore[attr-defined]
    noise = torch.randn(draws, *q.loc.shape, generator=torch.Generator().manual_seed(0))
    kl = kl_divergence(q, Normal(0.0, 1.0))[:, units].sum(1)
    return float(vae.log_px_z(x, (q.loc + q.scale * noise) * units).mean() - kl.mean())


def linear(runs: Path) -> pd.DataFrame:
    """Where a trained linear VAE loses nats against exact probabilistic PCA, as it is and after a few smaller steps.

    The parts add up to the exact log p(x) less the bound.
    """
    rows, best = [], {}
    for name in LINEAR:
        for dim, _, number, vae, data in trained(runs / name):
            if not isinstance(vae.likelihood.log_scale, torch.nn.Parameter):
                continue
            train, test = (vae.grey(x).flatten(1).double() for x in (data.train, data.test[:IMAGES]))
            if (name, dim) not in best:
                best[name, dim] = fit_ppca(train, dim).log_px(test)
            exact = best[name, dim]
            rows.append({"sweep": name, "D": dim, "step": "as trained", **linear_losses(vae, test, exact)})
            train_smaller(vae, data.train, torch.Generator().manual_seed(number))
            rows.append({"sweep": name, "D": dim, "step": f"then {SMALLER:g}", **linear_losses(vae, test, exact)})
    return pd.DataFrame(rows).groupby(["sweep", "D", "step"]).agg(["mean", "sem"])


@torch.no_grad()
def linear_losses(vae: VAE, x: torch.Tensor, exact: torch.Tensor) -> dict[str, float]:
    """Nats by which a linear VAE stays below `exact` on grey values x [image, pixel], and to what they are due."""
    model = from_vae(vae)
    q = vae.posterior(x.reshape(-1, *vae.image_shape).to(vae.dtype)).base_dist  # type: ignore[attr-defined]
    loc, precision = q.loc.double() - model.posterior(x).loc, model.posterior_precision
    s = q.scale.double().square() * precision.diagonal()
    losses = {
        "decoder: log p(x)": float((exact - model.log_px(x)).mean()),
        "posterior is diagonal": model.diagonal_gap,
        "encoder: means": float((loc @ precision * loc).sum(1).mean() / 2),
        "encoder: scales": float((s - 1 - s.log()).sum(1).mean() / 2),
    }
    return losses | {"all": sum(losses.values())}


def train_smaller(vae: VAE, train: torch.Tensor, generator: torch.Generator, epochs: int = 5) -> None:
    """More epochs of the same objective (batches of 128, one draw), with the step `SMALLER`."""
    optimizer = torch.optim.Adam(vae.parameters(), lr=SMALLER)
    for _ in range(epochs):
        for batch in train[torch.randperm(len(train), generator=generator)].split(128):
            q = vae.posterior(batch)
            noise = torch.randn(1, len(batch), vae.latent_dim, generator=generator)
            bound = vae.log_px_z(batch, reparameterise(q, noise)) - kl_divergence(q, vae.prior())
            optimizer.zero_grad()
            (-bound.mean()).backward()
            optimizer.step()


@torch.no_grad()
def variance(runs: Path) -> pd.DataFrame:
    """Var k1 in four parts; whether k3's variance is infinite; Sobol's slope against the dimensions that move.

    Var k1 of a unit is E[(1 - s^2)^2 / 2 + m^2 s^2] over images. With S = E[s^2] and M = E[m^2] + S, its second moment
    under the aggregate posterior, that is (1 - S^2) / 2 + (M - 1) S + Cov(m^2, s^2) + Var(s^2) / 2: only the first part
    is bounded by a half.
    """
    rows = []
    for dim, _, _, vae, data in trained(runs / "variance"):
        test = data.test
        q = vae.posterior(test).base_dist  # type: ignore[attr-defined]
        m, s = q.loc.double().square(), q.scale.double().square()
        mean_s, second = s.mean(0), (m + s).mean(0)
        row: dict[str, float] = {"D": dim, "Var k1": float(MonteCarlo().gaussian(q.loc, q.scale).total.mean())}
        row["(1 - S^2) / 2"] = float(((1 - mean_s.square()) / 2).sum())
        row["(M - 1) S"] = float(((second - 1) * mean_s).sum())
        row["Cov(m^2, s^2)"] = float(((m * s).mean(0) - m.mean(0) * mean_s).sum())
        row["Var(s^2) / 2"] = float((s.var(0, correction=0) / 2).sum())
        row |= {"M": float(second.mean()), "least s^2": float(s.min())}
        row["images with s^2 <= 1/2"] = float((s.amin(1) <= 0.5).double().mean())
        order = kl_divergence(q, Normal(0.0, 1.0)).mean(0).argsort(descending=True)
        for moving in MOVING if dim == MOVING[-1] else ():
            row[f"Sobol slope, {moving} move"] = sobol_slope(vae, test[:8], order[:moving])
        rows.append(row)
    return pd.DataFrame(rows).groupby("D").agg(["mean", "sem"]).T.unstack()


def sobol_slope(vae: VAE, x: torch.Tensor, moving: torch.Tensor, groups: int = 8) -> float:
    """Slope of log Var of the mean log p(x|z) against log L where only some dimensions of z leave their mean, which get
    the first coordinates of the net."""
    q = vae.posterior(x).base_dist  # type: ignore[attr-defined]
    loc, scale, generator = q.loc, q.scale[:, moving], torch.Generator().manual_seed(0)
    variances = []
    for size in SIZES:
        noise = sampling.draw("sobol", size, groups * len(x), len(moving), generator=generator)
        z = loc.expand(size, groups, *loc.shape).clone()
        z[..., moving] += scale * noise.unflatten(1, (groups, len(x)))
        means = torch.stack([vae.log_px_z(x, group).double().mean(0) for group in z.unbind(1)])
        variances.append(float(means.var(0).mean()))
    return slope(np.log(SIZES), np.log(variances))[0]


@torch.no_grad()
def prior(runs: Path) -> pd.DataFrame:
    """Slopes of log draws needed: against KL(q(z|x) | p(z)) as in the row, against the KL of the true posterior, and
    against the former were the posterior exactly q; always medians over the same images."""
    measured = {tolerance: needed(evidence(tables.load(runs / "prior")), tolerance) for tolerance in TOLERANCES}
    kls, ideal = {}, []
    for _, trial, number, vae, data in trained(runs / "prior"):
        config = trial_folder.read_config(runs / "prior" / "trials" / f"{trial:04d}").evaluation
        x, generator = data.test[: config.prior_images], torch.Generator().manual_seed(number)
        kls[trial, number] = float(posterior_kl(vae, x, generator).quantile(0.5))
        for tolerance, kl, draws in were_it_q(vae, x, generator, config.prior_draws):
            ideal.append({"tolerance": tolerance, "kl": kl, "log_draws": draws})
    rows = {}
    for tolerance, models in measured.items():
        true = pd.Series([kls[key] for key in zip(models["trial"], models["replicate"], strict=True)])
        same = pd.DataFrame(ideal).query("tolerance == @tolerance")
        rows[tolerance] = {
            "measured, KL of q": interval(*slope(models["kl"], models["log_draws"])),
            "measured, KL of the posterior": interval(*slope(true, models["log_draws"])),
            "were the posterior q": interval(*slope(same["kl"], same["log_draws"])),
            "KL of q, of the posterior": f"{models['kl'].mean():.2f}, {true.mean():.2f}",
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("bias of at most, nats")


def posterior_kl(vae: VAE, x: torch.Tensor, generator: torch.Generator, num_draws: int = 8192) -> torch.Tensor:
    """KL(p(z|x) | p(z)) = E[log p(x|z)] under p(z|x) less log p(x), by self-normalised importance weights; [image]."""
    terms = draw_terms(vae, x, vae.posterior(x), num_draws, generator)
    weights = terms.log_weights.softmax(0)
    return (weights * terms.log_px_z).sum(0) - log_mean_exp(terms.log_weights)


def were_it_q(
    vae: VAE, x: torch.Tensor, generator: torch.Generator, num_draws: int
) -> Iterator[tuple[float, float, float]]:
    """(tolerance, KL, log draws needed), medians over images, with p(x|z) = q(z|x) / p(z), whose evidence is 1."""
    q, p = vae.posterior(x), vae.prior()
    means = [prior_study.LogMeans(10**power) for power in range(len(str(num_draws)))]
    for _ in range(num_draws // prior_study.PIECE):
        z = torch.randn(prior_study.PIECE, 1, vae.latent_dim, generator=generator)
        log_ratio = (q.log_prob(z) - p.log_prob(z)).double()
        for mean in means:
            mean.add(log_ratio)
    bias, log_sizes = torch.stack([mean.mean for mean in means]).numpy(), np.log([mean.size for mean in means])
    kl = float(kl_divergence(q, p).double().quantile(0.5))
    for tolerance in TOLERANCES:
        draws = np.median([crossing(log_sizes, bias[:, image], tolerance) for image in range(len(x))])
        yield tolerance, kl, float(draws)


ROWS = {"dimension": dimension, "linear": linear, "variance": variance, "prior": prior}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("row", choices=ROWS)
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # small steps: more threads wait for each other, the longer the busier the machine
    try:
        table = ROWS[arguments.row](arguments.runs_dir)
    except (ConfigError, tables.TableError) as error:
        raise SystemExit(str(error)) from None
    print(table.to_string(float_format="%.2f"))


if __name__ == "__main__":
    main()
