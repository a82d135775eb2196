"""The course's convolutional VAE on 4-bit MNIST: bits per dimension, the KL term in training, two dimensions."""

from __future__ import annotations

import pandas as pd

from analysis.tables import Sweep
from tests.reproductions.dimension import CURVES
from tests.reproductions.lines import Line, Sweeps, epochs, mean, replicates, within

FULL = 80
"""Epochs of the published schedule."""


def lines(sweeps: Sweeps) -> list[Line]:
    found = []
    for name, dim, low, high in (("course", 20, 0.514, 0.523), ("course_2d", 2, 0.765, 0.785)):
        if name not in sweeps:
            continue
        done = replicates(sweeps[name])
        trained = int(done["training.epochs"].iloc[0])
        complete = trained == FULL
        quantity = f"D = {dim}: test bits per dimension" + (
            "" if complete else f" after {trained} epochs instead of {FULL}"
        )
        holds = within(done, "test.bits_per_dim", low, high) if complete else None
        found.append(Line(quantity, f"{low} to {high}", mean(done, "test.bits_per_dim"), holds))
        found.append(Line(f"D = {dim}: validation bits per dimension by epoch", "falls", curve(sweeps[name]), None))
    return found


def curve(sweep: Sweep, column: str = "validation.bits_per_dim") -> str:
    """`2.31 (0), 0.60 (1), ...`: the mean over replicates at some epochs."""
    by_epoch = epochs(sweep).groupby("epoch")[column].mean()
    last = int(by_epoch.index.max())
    shown = [epoch for epoch in (0, 1, 2, 5, 10, 20, 40, 80) if epoch < last] + [last]
    return ", ".join(f"{by_epoch[epoch]:#.3g} ({epoch})" for epoch in shown)


def collapse(sweeps: Sweeps) -> list[Line]:
    """The KL term rises while the bound improves; dimensions beyond the knee carry nothing."""
    found = []
    for name, dim, published, low, high in (
        ("course", 20, "about 12, rising to 45", 40.0, 50.0),
        ("course_2d", 2, "about 8", 7.0, 9.0),
    ):
        if name not in sweeps:
            continue
        history = epochs(sweeps[name]).query("epoch > 0")
        first, last = (history[history["epoch"] == epoch] for epoch in (1, history["epoch"].max()))
        kl, bound = ([float(at[f"train.{term}"].mean()) for at in (first, last)] for term in ("kl", "elbo"))
        rises = kl[1] > kl[0] and bound[1] > bound[0]
        trained = int(history["epoch"].max())
        ends = mean(last, "train.kl", 1), mean(last, "train.elbo", 1)
        ours = f"KL {kl[0]:.1f} to {ends[0]}, bound {bound[0]:.0f} to {ends[1]} nats"
        holds = rises and (trained < FULL or low <= kl[1] <= high)
        found.append(Line(f"D = {dim}: KL term in training, epochs 1 to {trained}", published, ours, holds))
    curves = [name for name in CURVES if name in sweeps]
    return found + [_inactive(replicates(sweeps[name]), name) for name in curves]


def _inactive(done: pd.DataFrame, name: str) -> Line:
    units = done.groupby("model.latent_dim")["test.active_units"].mean()
    largest = int(units.index.max())
    shown = ", ".join(f"{count:.1f} of {dim}" for dim, count in units.items())
    return Line(f"{name}: active units by D", f"far fewer than {largest}", shown, bool(units[largest] < largest / 2))
