"""The rows of docs/reproductions.md: their specifications, and what is computed from their sweeps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis import tables
from analysis.tables import Sweep
from sweeps.spec import load
from tests.reproductions import course, dimension, prior
from tests.reproductions.__main__ import ROWS, SPECS, into, table


def sweep(name: str, replicates: list[dict[str, Any]], history: list[dict[str, Any]] | None = None) -> Sweep:
    """One trial per replicate."""
    frame = pd.DataFrame(replicates).assign(trial=range(len(replicates)), replicate=0, seed=0, status="finished")
    settings = [column for column in frame if str(column).startswith(("model.", "training.", "data."))]
    trials = frame[["trial", "status", *settings]].assign(phase="factorial", suspect="", config_hash="x", reason="")
    frames = {name: pd.DataFrame() for name in tables.TABLES}
    frames |= {"trials": trials, "replicates": frame.drop(columns=settings), "history": pd.DataFrame(history or [])}
    return Sweep(name=name, folder=Path(), info={}, **frames)


@pytest.mark.parametrize("name", sorted({name for row in ROWS.values() for name in row.sweeps}))
def test_every_row_has_its_specification(name: str) -> None:
    assert load(SPECS / f"{name}.yaml").name == name


def test_every_specification_has_its_row() -> None:
    assert {path.stem for path in SPECS.glob("*.yaml")} == {name for row in ROWS.values() for name in row.sweeps}


def test_a_row_whose_sweeps_did_not_run_says_so(tmp_path: Path) -> None:
    assert table(ROWS["iwae"], tmp_path)[2] == "Not run: iwae, iwae_vae."


def test_superfluous_dimensions_hurt_only_where_the_interval_says_so() -> None:
    noise = [-0.2, 0.0, 0.2]
    same = [{"model.latent_dim": dim, "test.elbo": -90.0 + e} for dim in (20, 200) for e in noise]
    worse = [{"model.latent_dim": dim, "test.elbo": -90.0 - (dim == 200) * 5 + e} for dim in (20, 200) for e in noise]
    history = [
        {"trial": trial, "epoch": epoch, "validation.elbo": -100.0 - (trial > 2) * 2 / epoch}
        for trial in range(6)
        for epoch in (1, 2)
    ]
    sweeps = {
        "dimension_bernoulli": sweep("dimension_bernoulli", same, history),
        "dimension_4bit": sweep("dimension_4bit", worse, history),
    }
    lines = dimension.lines(sweeps)
    assert [line.holds for line in lines if "less" in line.quantity] == [True, False]
    assert [line.ours for line in lines if "by epoch" in line.quantity] == ["-2.00 (1), -1.00 (2)"] * 2


@pytest.mark.parametrize(("epochs", "bits", "holds"), [(80, 0.519, True), (80, 0.6, False), (8, 0.6, None)])
def test_only_the_whole_schedule_is_held_against_the_published_range(
    epochs: int, bits: float, holds: bool | None
) -> None:
    done = [{"model.latent_dim": 20, "training.epochs": epochs, "test.bits_per_dim": bits + e} for e in (-1e-3, 1e-3)]
    history = [{"trial": 0, "epoch": epoch, "validation.bits_per_dim": 0.9} for epoch in (0, 1)]
    empty = sweep("course_2d", [{"model.latent_dim": 2, "test.bits_per_dim": 0.8, "training.epochs": 80}])
    lines = course.lines({"course": sweep("course", done, history), "course_2d": _unfinished(empty)})
    assert lines[0].holds is holds
    assert lines[0].ours == f"{bits:.4f} ± 0.0010 (2)"


def _unfinished(sweep: Sweep) -> Sweep:
    sweep.trials["status"] = "running"
    return sweep


def test_the_crossing_lies_between_the_numbers_tried() -> None:
    log_draws = np.log([1.0, 10.0, 100.0])
    assert prior.crossing(log_draws, np.array([-4.25, -2.25, 1.75]), 0.25) == pytest.approx(np.log(10) * 1.5)
    assert prior.crossing(log_draws, np.array([-0.1, 0.0, 0.0]), 0.25) == 0.0
    assert np.isnan(prior.crossing(log_draws, np.array([-4.0, -3.0, -2.0]), 0.25))


def test_a_row_takes_its_place_in_the_document_and_leaves_the_rest() -> None:
    text = "head\n<!-- prior -->\nold\n<!-- end -->\nmiddle\n<!-- course -->\nkept\n<!-- end -->\n"
    assert into(text, "prior", ["new", ""]) == text.replace("old", "new")
    with pytest.raises(SystemExit, match="must hold <!-- iwae -->"):
        into(text, "iwae", ["new"])
