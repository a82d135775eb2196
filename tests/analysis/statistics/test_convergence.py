"""The limit of what more epochs gain holds for curves that flatten and for curves that turn."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from analysis.statistics.convergence import still_rising


def trained(curve: np.ndarray, seeds: int, noise: float, rng: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(replicates, history) of a curve with noise at each epoch, best at the last."""
    epochs = len(curve) - 1
    values = curve + noise * rng.normal(size=(seeds, epochs + 1))
    index = pd.MultiIndex.from_product([[0], range(seeds), range(epochs + 1)], names=["trial", "replicate", "epoch"])
    history = pd.DataFrame({"validation.elbo": values.ravel()}, index=index).reset_index()
    replicates = pd.DataFrame({"trial": 0, "replicate": range(seeds), "best_epoch": epochs, "epochs": epochs})
    return replicates, history


@pytest.mark.parametrize("shape", ["flattens", "flattens slowly", "turns"])
def test_the_limit_holds_in_nineteen_of_twenty_sweeps(shape: str) -> None:
    rng, x = np.random.default_rng(3), np.arange(56.0)
    curve = {
        "flattens": -10.0 * np.exp(-x / 15.0),
        "flattens slowly": -30.0 / (1.0 + x / 10.0),
        "turns": -0.004 * (x - 52.0) ** 2,
    }[shape]
    held = []
    for _ in range(200):
        replicates, history = trained(curve[:51], 3, 0.15, rng)
        row = still_rising(replicates, history).iloc[0]
        held.append(curve[50:56].max() - curve[50] <= row["most"])
        assert row["ahead"] == 5
    assert np.mean(held) >= 0.95


def test_the_slope_is_the_least_squares_slope_of_the_last_fifth() -> None:
    replicates, history = trained(np.linspace(-50.0, 0.0, 51) + 7.0, 2, 0.0, np.random.default_rng(0))
    row = still_rising(replicates, history).iloc[0]
    assert row[["n", "late", "epochs", "slope", "most"]].tolist() == pytest.approx([2, 2, 50, 1.0, 5.0])


def test_what_cannot_be_known_is_nan_and_nothing_fails() -> None:
    replicates, history = trained(np.arange(51.0), 1, 0.1, np.random.default_rng(0))
    assert np.isnan(still_rising(replicates, history)["most"]).all()
    assert np.isnan(still_rising(replicates.assign(epochs=3), history[history["epoch"] <= 3])["slope"]).all()
    assert np.isnan(still_rising(replicates, history.head(0))["slope"]).all()
    assert np.isnan(still_rising(replicates, history.assign(**{"validation.elbo": np.inf}))["slope"]).all()
    assert still_rising(replicates.drop(columns="best_epoch"), history).empty
    assert still_rising(replicates.head(0), history).empty
