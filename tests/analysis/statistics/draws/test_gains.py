"""Gains of the schemes against known ones, and power laws where there are some."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from coverage_of_intervals import assert_covers

from analysis import statistics, tables

LENGTHS = np.array([1, 2, 4, 8, 16, 32])


def study(shape: dict[int, np.ndarray], noise: float, seed: int = 0, replicates: int = 6) -> pd.DataFrame:
    """One trial a D; D -> log variance of Sobol draws beside that of independent ones, with noise of the draws."""
    rng, rows = np.random.default_rng(seed), []
    for dim, logs in shape.items():
        for replicate in range(replicates):
            for scheme, values in (("iid", -np.log(LENGTHS)), ("sobol", logs)):
                drawn = np.exp(values + noise * rng.normal(size=len(LENGTHS)))
                rows += [(dim, dim, replicate, scheme, length, v) for length, v in zip(LENGTHS, drawn)]
    names = ["trial", "model.latent_dim", "replicate", "sampling", "num_samples", "variance"]
    return pd.DataFrame(rows, columns=names).assign(
        quantity="k1",
        num_importance_samples=np.nan,
        stream=lambda t: t["trial"].astype(str) + t["replicate"].astype(str),
    )


def bent(first: float, last: float) -> np.ndarray:
    """Log variance whose local slope goes evenly from one value to another."""
    steps = np.diff(np.log(LENGTHS)) * np.linspace(first, last, len(LENGTHS) - 1)
    return np.concatenate([[0.0], np.cumsum(steps)])


def test_a_power_law_is_named_where_there_is_one_and_nowhere_else() -> None:
    shapes = {2: bent(-2.0, -2.0), 8: bent(-1.23, -1.98), 32: bent(-1.4, -1.4)}
    table = statistics.scheme_gains(study(shapes, noise=0.02)).set_index("model.latent_dim")
    assert table["power_law"].tolist() == [True, False, True]
    assert table["slope"].to_numpy() == pytest.approx([-2.0, -1.6, -1.4], abs=0.06)
    assert table.loc[8, ["first_slope", "last_slope"]].tolist() == pytest.approx([-1.23, -1.98], abs=0.08)
    assert table["gain"].to_numpy() == pytest.approx(
        [32 ** (-1 - bent_slope) for bent_slope in (-2.0, float(bent(-1.23, -1.98)[-1]) / np.log(32), -1.4)], rel=0.1
    )


@pytest.mark.parametrize(("noise", "replicates"), [(1.0, 6), (0.02, 1)])
def test_where_too_little_is_known_no_law_is_named(noise: float, replicates: int) -> None:
    table = statistics.scheme_gains(study({2: bent(-2.0, -2.0)}, noise, replicates=replicates))
    assert not table["power_law"].any()


def many(logs: np.ndarray, noise: float, replicates: int) -> pd.DataFrame:
    """Gains of a thousand sweeps of one D."""
    sweeps = study(dict.fromkeys(range(1000), logs), noise, replicates=replicates)
    return statistics.scheme_gains(sweeps)


def test_intervals_of_a_gain_cover_it() -> None:
    table = many(bent(-1.5, -1.5), noise=0.1, replicates=4)
    assert_covers(((table["low"] <= 32**0.5) & (table["high"] >= 32**0.5)).to_numpy(), 0.95)


def test_no_law_is_claimed_of_a_bent_line() -> None:
    """Of lines that bend as much as is allowed, at most one in twenty is called a law; of those beyond, fewer."""
    margin = 0.25 * (len(LENGTHS) - 2) / (len(LENGTHS) - 1)  # local slopes lie between the L, half a step inside
    assert many(bent(-1.3, -1.3 - margin), noise=0.03, replicates=6)["power_law"].mean() <= 0.05
    assert many(bent(-1.3, -1.6), noise=0.03, replicates=6)["power_law"].mean() <= 0.01
    assert many(bent(-1.3, -1.3), noise=0.03, replicates=6)["power_law"].mean() > 0.8


def test_gains_of_the_synthetic_sweep_are_the_true_ones(sweep: tables.Sweep) -> None:
    table = statistics.scheme_gains(tables.joined(sweep, "variance", columns=["model.latent_dim"]))
    table = table[table["quantity"] != "k3"]
    true = table["sampling"].map({"antithetic": 2.0, "sobol": 128.0})
    assert ((table["low"] <= true) & (true <= table["high"])).mean() > 0.85
    assert (table["gain"] / true).between(0.8, 1.25).all()
    assert table["num_samples"].eq(128).all()


def test_without_a_scheme_there_is_no_gain() -> None:
    rows = study({2: bent(-2.0, -2.0)}, 0.1)
    assert statistics.scheme_gains(rows[rows["sampling"] == "iid"]).empty
    assert statistics.scheme_gains(rows.head(0)).empty
