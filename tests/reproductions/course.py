"""The course's convolutional VAE on 4-bit MNIST: bits per dimension, the KL term in training, two dimensions."""

from __future__ import annotations

import pandas as pd

from analysis.tables import Sweep
from tests.reproductions.lines import Line, Sweeps, mean, replicates, within

FULL = 80
"""Epochs of the published schedule."""


def lines(sweeps: Sweeps) -> list[Line]:
    found = []
    for name, dim, low, high in (("course", 20, 0.514, 0.523), ("course_2d", 2, 0.765, 0.785)):
        if name not in sweeps or (done := replicates(sweeps[name])).empty:
            continue
        epochs = int(done["training.epochs"].iloc[0])
        complete = epochs == FULL
        quantity = f"D = {dim}: test bits per dimension" + (
            "" if complete else f" after {epochs} epochs instead of {FULL}"
        )
        holds = within(done, "test.bits_per_dim", low, high) if complete else None
        found.append(Line(quantity, f"{low} to {high}", mean(done, "test.bits_per_dim"), holds))
        found.append(Line(f"D = {dim}: validation bits per dimension by epoch", "falls", curve(sweeps[name]), None))
    return found


def curve(sweep: Sweep, column: str = "validation.bits_per_dim") -> str:
    """`2.31 (0), 0.60 (1), ...`: the mean over replicates at some epochs."""
    by_epoch = sweep.history.groupby("epoch")[column].mean()
    last = int(by_epoch.index.max())
    shown = [epoch for epoch in (0, 1, 2, 5, 10, 20, 40, 80) if epoch < last] + [last]
    return ", ".join(f"{by_epoch[epoch]:.3g} ({epoch})" for epoch in shown)


def collapse(sweeps: Sweeps) -> list[Line]:
    """The KL term rises while the bound improves; dimensions beyond the knee carry nothing."""
    found = []
    for name, dim, published, last_low in (
        ("course", 20, "about 12, rising to 45", 40.0),
        ("course_2d", 2, "about 8", 7.0),
    ):
        if name not in sweeps or (history := sweeps[name].history).empty or history["epoch"].max() < 1:
            continue
        kl = history[history["epoch"] > 0].groupby("epoch")["train.kl"].mean()
        bound = history[history["epoch"] > 0].groupby("epoch")["train.elbo"].mean()
        rises = bool(kl.iloc[-1] > kl.iloc[0]) and bool(bound.iloc[-1] > bound.iloc[0])
        epochs = f"epochs {kl.index[0]} to {kl.index[-1]}"
        ours = f"KL {kl.iloc[0]:.1f} to {kl.iloc[-1]:.1f}, bound {bound.iloc[0]:.0f} to {bound.iloc[-1]:.0f} nats"
        full = int(kl.index[-1]) == FULL
        holds = (rises and last_low <= kl.iloc[-1]) if full else (rises or None)
        found.append(Line(f"D = {dim}: KL term in training, {epochs}", published, ours, holds))
    curves = {name: replicates(sweeps[name]) for name in ("dimension_bernoulli", "dimension_4bit") if name in sweeps}
    return found + [_inactive(done, name) for name, done in curves.items() if not done.empty]


def _inactive(done: pd.DataFrame, name: str) -> Line:
    units = done.groupby("model.latent_dim")["test.active_units"].mean()
    largest = int(units.index.max())
    shown = ", ".join(f"{count:.1f} of {dim}" for dim, count in units.items())
    return Line(f"{name}: active units by D", f"far fewer than {largest}", shown, bool(units[largest] < largest / 2))
