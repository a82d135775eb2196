"""Kingma & Welling (2014), figure 2: superfluous latent dimensions do not hurt the bound."""

from __future__ import annotations

from analysis.tables import Sweep
from tests.reproductions.lines import Line, Sweeps, by_dim, difference, epochs, interval, mean, replicates

CURVES = "dimension_bernoulli", "dimension_bernoulli_long", "dimension_4bit", "dimension_4bit_long"


def lines(sweeps: Sweeps) -> list[Line]:
    found: list[Line] = []
    for name in CURVES:
        if name not in sweeps:
            continue
        done = replicates(sweeps[name])
        for dim in sorted(done["model.latent_dim"].unique()):
            ours = mean(by_dim(done, dim), "test.elbo", 2)
            found.append(Line(f"{name}: test ELBO at D = {dim}, nats", "a figure, no numbers", ours, None))
        if {20, 200} <= set(done["model.latent_dim"]):
            value, low, high = difference(by_dim(done, 200)["test.elbo"], by_dim(done, 20)["test.elbo"])
            quantity = f"{name}: test ELBO, D = 200 less D = 20, nats"
            found.append(Line(quantity, "not below 0", interval(value, low, high), high >= 0))
            for split in ("train", "validation"):
                quantity = f"{name}: the same on {split} images, by epoch"
                found.append(Line(quantity, "", _gap(sweeps[name], split), None))
    return found


def _gap(sweep: Sweep, split: str) -> str:
    """`-16.9 (1), ...`: whether superfluous dimensions cost the bound anything, or the training time."""
    curves = epochs(sweep).groupby(["epoch", "model.latent_dim"])[f"{split}.elbo"].mean().unstack()
    gap = (curves[200] - curves[20]).dropna()
    shown = [epoch for epoch in (1, 2, 3, 5, 10, 15, 20, 25, 30) if epoch in gap.index]
    return ", ".join(f"{gap[epoch]:.2f} ({epoch})" for epoch in shown)
