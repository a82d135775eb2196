"""What is said of the parts of the bound rests on a test between both ends."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from report_pages import sweep
from scipy import stats

from analysis.pages.elbo_vs_dimension.parts import parts
from analysis.statistics.headline import headline
from analysis.tables import Sweep


@pytest.fixture
def data(tmp_path: Path) -> Sweep:
    return sweep(tmp_path, variance_study=False, gradients=False, evidence=False)


def units(data: Sweep, at_2: list[float], at_8: list[float]) -> Sweep:
    """Active units of each replicate at the two dimensions."""
    dims = data.replicates["trial"].map(data.trials.set_index("trial")["model.latent_dim"])
    seed = data.replicates["replicate"].to_numpy()
    values = np.where(dims == 2, np.array(at_2)[seed], np.array(at_8)[seed])
    return replace(data, replicates=data.replicates.assign(**{"test.active_units": values}))


def test_a_change_is_said_where_a_test_finds_one(data: Sweep) -> None:
    said = parts(headline(units(data, [2.0, 2.0, 2.0], [6.0, 7.0, 8.0]))).sentence
    assert "the active units rise from 2.0 to 7.0" in said
    spread = units(data, [2.0, 2.0, 2.0], [8.0, 2.0, 7.0])
    expected = stats.ttest_1samp([8.0, 2.0, 7.0], 2.0).pvalue
    assert (
        f"no change of the active units is certain (2.0 to 5.7, p = {expected:.2g})" in parts(headline(spread)).sentence
    )
    assert "the active units stay at 2.0" in parts(headline(units(data, [2.0] * 3, [2.0] * 3))).sentence


def test_one_dimension_has_no_direction_and_one_seed_no_test(tmp_path: Path) -> None:
    single = sweep(tmp_path / "one", dims=(8,), variance_study=False)
    said = parts(headline(single)).sentence
    assert said.startswith("At D = 8 (closed form), the reconstruction is ")
    assert "From D" not in said
    alone = sweep(tmp_path / "seed", replicates=1, variance_study=False)
    assert "one seed cannot tell" in parts(headline(alone)).sentence


def test_a_gap_below_zero_is_said_to_be_impossible(data: Sweep) -> None:
    assert "No gap can be below zero" not in parts(headline(data)).sentence
    seed = data.replicates["replicate"].to_numpy()
    short = data.replicates.assign(**{"test.amortisation_gap": np.array([-12.8, -12.9, -12.85])[seed]})
    said = parts(headline(replace(data, replicates=short))).sentence
    assert "No gap can be below zero: the amortisation gap at D = 2 is −12.85 nats, so the search" in said
    noise = data.replicates.assign(**{"test.amortisation_gap": np.array([-0.1, 0.2, -0.2])[seed]})
    assert "No gap can" not in parts(headline(replace(data, replicates=noise))).sentence
