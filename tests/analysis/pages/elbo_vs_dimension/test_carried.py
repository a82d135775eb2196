"""What z carries is said as bounds: a number that has reached its cap is none."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
from report_pages import sweep

from analysis.document.blocks import Note, Table, Text
from analysis.pages.elbo_vs_dimension import carried
from analysis.statistics.headline import headline
from analysis.tables import Sweep

CAP = math.log(1024)


@pytest.fixture
def data(tmp_path: Path) -> Sweep:
    return sweep(tmp_path, estimators=("closed_form",), variance_study=False, gradients=False, evidence=False)


def with_bounds(data: Sweep, at_2: tuple[float, ...], at_8: tuple[float, ...]) -> Sweep:
    """I and KL of every replicate at D = 2 and at D = 8: lower, upper, cap, KL lower, KL upper."""
    dims = data.replicates["trial"].map(data.trials.set_index("trial")["model.latent_dim"])
    names = (carried.LOWER, carried.UPPER, carried.CAP, carried.KL_LOWER, carried.KL_UPPER)
    columns = {name: dims.map({2: low, 8: high}) for name, low, high in zip(names, at_2, at_8, strict=True)}
    return replace(data, replicates=data.replicates.assign(**columns))


def test_a_value_at_its_cap_is_a_bound_and_one_between_is_an_interval(data: Sweep) -> None:
    """The case of the brief: 46.07 nats of which 6.93 can be shown, beside one that images are enough for."""
    swept = with_bounds(data, (3.2, 3.31, CAP, 0.0, 0.11), (6.931, 46.07, CAP, 0.0, 39.14))
    blocks = carried.blocks(headline(swept))
    (said,) = (block.text for block in blocks if isinstance(block, Text) and block.text.startswith("For"))
    assert "at D = 2 I(x; z) is 3.20 to 3.31 nats and KL(q(z) | p(z)) 0 to 0.110 nats" in said
    assert (
        "at D = 8 I(x; z) is at least 6.93 nats (cap log N = 6.93), at most 46.07 and KL(q(z) | p(z)) 0 to 39.1" in said
    )
    (note,) = (block.text for block in blocks if isinstance(block, Note))
    assert note.startswith("At 1 of 2 points I(x; z) has reached the largest value")
    (table,) = (block for block in blocks if isinstance(block, Table))
    assert table.shown is not None
    assert table.shown["I(x; z)"].str.contains("cap").tolist() == [False, True]


@pytest.mark.parametrize(("lower", "capped"), [(CAP - 0.51, False), (CAP - 0.49, True)])
def test_half_a_nat_below_the_cap_is_where_a_number_ends(lower: float, capped: bool) -> None:
    assert ("cap" in carried.information(lower, 9.0, CAP)) == capped


def test_tables_of_older_runs_know_one_side_only(data: Sweep) -> None:
    older = data.replicates.drop(columns=[carried.UPPER, carried.CAP, carried.KL_LOWER])
    said = " ".join(b.text for b in carried.blocks(headline(replace(data, replicates=older))) if isinstance(b, Text))
    assert "I(x; z) is at least" in said
    assert "KL(q(z) | p(z)) at most" in said
    nothing = older.drop(columns=[carried.LOWER, carried.KL_UPPER])
    assert carried.blocks(headline(replace(data, replicates=nothing))) == []


def test_noise_that_puts_the_upper_bound_below_the_lower_is_no_interval_backwards() -> None:
    assert carried.information(3.31, 3.29, CAP) == "3.31 nats"
    assert carried.distance(-0.01, -0.02) == "0 nats"
