"""The rows of docs/reproductions.md: their specifications, and what is computed from their sweeps."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from analysis import tables
from analysis.tables import Sweep
from sweeps.specification.reading import load
from tests.reproductions import course, dimension, prior
from tests.reproductions.__main__ import ROWS, SPECS, into, source, table
from tests.reproductions.lines import slope


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
        | {"train.elbo": -90.0 - (trial > 2) * 4 / epoch}
        for trial in range(6)
        for epoch in (1, 2)
    ]
    sweeps = {
        "dimension_bernoulli": sweep("dimension_bernoulli", same, history),
        "dimension_4bit": sweep("dimension_4bit", worse, history),
    }
    lines = dimension.lines(sweeps)
    assert [line.holds for line in lines if "less" in line.quantity] == [True, False]
    assert [line.ours for line in lines if "by epoch" in line.quantity] == [
        "-4.00 (1), -2.00 (2)",
        "-2.00 (1), -1.00 (2)",
    ] * 2


@pytest.mark.parametrize(("epochs", "bits", "holds"), [(80, 0.519, True), (80, 0.6, False), (8, 0.6, None)])
def test_only_the_whole_schedule_is_held_against_the_published_range(
    epochs: int, bits: float, holds: bool | None
) -> None:
    done = [{"model.latent_dim": 20, "training.epochs": epochs, "test.bits_per_dim": bits + e} for e in (-1e-3, 1e-3)]
    history = [{"trial": 0, "epoch": epoch, "validation.bits_per_dim": 0.9} for epoch in (0, 1)]
    lines = course.lines({"course": sweep("course", done, history)})
    assert lines[0].holds is holds
    assert lines[0].ours == f"{bits:.4f} ± 0.0010 (2)"


def test_the_crossing_lies_between_the_numbers_tried() -> None:
    log_draws = np.log([1.0, 10.0, 100.0])
    assert prior.crossing(log_draws, np.array([-4.25, -2.25, 1.75]), 0.25) == pytest.approx(np.log(10) * 1.5)
    assert prior.crossing(log_draws, np.array([-0.1, 0.0, 0.0]), 0.25) == 0.0
    assert np.isinf(prior.crossing(log_draws, np.array([-4.0, -3.0, -2.0]), 0.25))


def test_a_row_takes_its_place_in_the_document_and_leaves_the_rest() -> None:
    text = "head\n<!-- prior -->\nold\n<!-- end -->\nmiddle\n<!-- course -->\nkept\n<!-- end -->\n"
    assert into(text, "prior", ["new", ""]) == text.replace("old", "new\n")
    with pytest.raises(SystemExit, match="must hold <!-- iwae -->"):
        into(text, "iwae", ["new"])
    with pytest.raises(SystemExit, match="its own <!-- end -->"):
        into(text.replace("old\n<!-- end -->", "old"), "prior", ["new"])


def test_images_that_need_more_draws_than_were_tried_count_as_infinite() -> None:
    kl = np.array([[2.0, 3.0, 4.0, 14.0, 15.0], [5.0, 6.0, 7.0, 8.0, 14.0]])
    sizes = 10 ** np.arange(6)
    rows = [
        {"estimator": "prior_monte_carlo", "num_draws": n, "bias": (np.log(n) - value) / 2 - 0.5}
        | {"kl": value, "model.latent_dim": 2, "test.active_units": 2.0, "trial": 0, "replicate": model, "image": image}
        for model, values in enumerate(kl)
        for image, value in enumerate(values)
        for n in sizes
    ]
    models = prior.needed(pd.DataFrame(rows), 0.5)
    assert models["log_draws"].tolist() == pytest.approx([4.0, 7.0])
    assert models[["kl", "beyond", "images"]].to_numpy().tolist() == [[4.0, 2, 5], [7.0, 1, 5]]


def test_slopes_and_what_an_inactive_dimension_adds_are_those_of_the_law() -> None:
    generator = np.random.default_rng(0)
    kl, inactive = generator.uniform(2, 7, 400), generator.integers(0, 4, 400)
    draws = 1.0 + 0.9 * kl + generator.normal(size=400) * 0.1
    value, low, high = slope(kl, draws)
    assert low < 0.9 < high
    assert value == pytest.approx(0.9, abs=0.02)
    added, low, high = prior.added(pd.Series(draws + 0.3 * inactive), pd.Series(kl), pd.Series(inactive))
    assert low < 0.3 < high
    assert added == pytest.approx(0.3, abs=0.02)


@pytest.mark.parametrize(("last", "holds"), [(44.0, True), (30.0, False), (60.0, False), (11.0, False)])
def test_the_kl_must_rise_to_what_was_published_in_finished_seeds(last: float, holds: bool) -> None:
    def history(trial: int, end: float) -> list[dict[str, Any]]:
        values = ((1, 12.0, -450.0), (80, end, -280.0))
        return [{"trial": trial, "epoch": epoch, "train.kl": kl, "train.elbo": elbo} for epoch, kl, elbo in values]

    done = [{"model.latent_dim": 20, "training.epochs": 80} for _ in range(2)]
    found = sweep("course", done, history(0, last) + history(1, 1000.0))
    found.trials.loc[1, "status"] = "running"
    (line,) = course.collapse({"course": found})
    assert line.holds is holds
    assert line.ours == f"KL 12.0 to {last:.1f} (1), bound -450 to -280.0 (1) nats"


def test_a_sweep_says_what_each_of_its_starts_ran_on() -> None:
    found = sweep("prior", [{"model.latent_dim": 1, "seconds.total": 3.0}])
    spec = yaml.safe_load(load(SPECS / "prior.yaml").written())
    here = {"hardware": {"cores": 1, "gpus": [], "processor": "P"}, "git": {"revision": "b" * 40, "dirty": True}}
    there = {"hardware": {"cores": 16, "gpus": ["G"]}, "git": None}
    info = here | {"earlier": [there], "resumed": 2, "seconds": 9.0, "total": 8, "spec": spec}
    line = source(replace(found, info=info))
    assert line.endswith("G, revision unknown; then 1 core P, revision bbbbbbbbbb+; 1 earlier start not recorded")
    assert "its specification has changed since" in source(replace(found, info=info | {"spec": spec | {"factors": {}}}))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("", "course", "--no-run", "--into", "nothere.md"), "--into: must be a file, got nothere.md"),
        ((".why", "dimension", "--runs-dir", "nothere"), "dimension_bernoulli/sweep.json: does not exist"),
        ((".figure", "--runs-dir", "nothere"), "course/sweep.json: does not exist"),
    ],
)
def test_what_is_not_there_is_one_line(arguments: tuple[str, ...], message: str) -> None:
    module, *rest = arguments
    ended = subprocess.run(
        [sys.executable, "-m", f"tests.reproductions{module}", *rest], capture_output=True, text=True
    )
    assert ended.returncode
    assert message in ended.stderr.splitlines()[-1]
    assert "Traceback" not in ended.stderr
