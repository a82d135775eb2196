"""The planner against a simulation of its own model, and against a search over every design."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import synthetic
import synthetic_truth as truth

from analysis import tables
from analysis.statistics import planning
from analysis.tables import TableError


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> tables.Sweep:
    folder = tmp_path_factory.mktemp("runs") / "synthetic"
    return tables.load(synthetic.write(folder, dims=(2, 8), epochs=2, replicates=4, pictures=False))


def test_what_was_measured_arrives_with_the_truths_values(sweep: tables.Sweep) -> None:
    table = planning.measured(sweep)
    rows = table[(table["quantity"] == "elbo_monte_carlo") & (table["sampling"] == "sobol")]
    assert rows["num_samples"].tolist() == [*truth.L_GRID] * 2
    expected = truth.one_draw_variance("elbo_monte_carlo", rows["model.latent_dim"]) * rows["num_samples"] ** -2.0
    assert rows["monte_carlo"].to_numpy() == pytest.approx(np.asarray(expected), rel=0.05)
    assert rows["seconds"].to_numpy() == pytest.approx(2e-5 * (1 + rows["num_samples"].to_numpy()))
    own = tables.joined(sweep).groupby("model.latent_dim")["seconds.training"].mean()
    assert rows["training"].to_numpy() == pytest.approx(rows["model.latent_dim"].map(own).to_numpy())
    assert table["monte_carlo"].notna().all()
    assert not table.duplicated(
        ["model.latent_dim", "quantity", "sampling", "num_importance_samples", "num_samples"]
    ).any()


@pytest.mark.parametrize("sampling", ["iid", "antithetic", "sobol"])
def test_what_was_measured_are_the_variance_components_of_each_scheme(sweep: tables.Sweep, sampling: str) -> None:
    """`measured` takes all schemes in one pass."""
    cell = ["model.latent_dim", "quantity", "num_importance_samples", "num_samples"]
    study = tables.joined(sweep, "variance", columns=cell[:1])
    drawn = study[study["sampling"] == sampling].groupby(cell, dropna=False)["variance"].mean()
    table = planning.measured(sweep)
    rows = table[table["sampling"] == sampling].set_index(cell)
    pd.testing.assert_series_equal(rows["monte_carlo"].sort_index(), drawn, check_names=False, rtol=1e-12)
    assert rows["between_images"].to_numpy() == pytest.approx(truth.BETWEEN_IMAGES**2), "of all evaluated images"
    assert (rows["image_degrees"] == truth.TEST_IMAGES - 1).all()


@pytest.mark.parametrize("scope", ["new images", "this split"])
def test_a_simulated_measurement_has_the_predicted_standard_error(scope: str) -> None:
    """Replicates, images and draws from the model: the mean's spread is what the formula says."""
    a, b, c, replicates, images, split, repeats = 0.5, 40.0, 3.0, 3, 30, 50, 20_000
    rng = np.random.default_rng(0)
    fixed = rng.normal(size=split)
    fixed *= np.sqrt(b) / fixed.std(ddof=1)
    if scope == "new images":
        image = np.sqrt(b) * rng.normal(size=(repeats, images))
    else:
        image = fixed[rng.permuted(np.tile(np.arange(split), (repeats, 1)), axis=1)[:, :images]]
    mean = image.mean(axis=1) + np.sqrt(a) * rng.normal(size=(repeats, replicates)).mean(axis=1)
    mean += np.sqrt(c) * rng.normal(size=(repeats, replicates * images)).mean(axis=1)
    size = None if scope == "new images" else split
    expected = planning.expected_standard_error(a, b, c, replicates=replicates, images=images, split_images=size)
    assert mean.std(ddof=1) == pytest.approx(float(expected), abs=4 * float(expected) / np.sqrt(2 * repeats))


@pytest.mark.parametrize("target", [2.0, 0.5])
def test_every_plan_reaches_its_target(sweep: tables.Sweep, target: float) -> None:
    table = planning.plan(sweep, target)
    reached = table[table["reachable"]]
    assert len(reached) > 0
    assert (reached["standard_error"] <= target * (1 + 1e-9)).all()
    components = planning.measured(sweep)
    keys = ["model.latent_dim", "quantity", "sampling", "num_importance_samples", "num_samples"]
    merged = reached.merge(components, on=keys, suffixes=("", "_each"))
    assert len(merged) == len(reached)
    for scope, split in (("new images", None), ("this split", truth.TEST_IMAGES)):
        rows = merged[merged["scope"] == scope]
        sizes = {"replicates": rows["replicates"], "images": rows["images"], "split_images": split}
        parts = (rows[name] for name in ("between_replicates", "between_images", "monte_carlo"))
        error = planning.expected_standard_error(*parts, **sizes)
        assert rows["standard_error"].to_numpy() == pytest.approx(error)
    cost = merged["replicates"] * (merged["training"] + merged["images"] * merged["seconds_each"])
    assert merged["seconds"].to_numpy() == pytest.approx(cost.to_numpy())
    assert (reached["seconds"] - reached["seconds_training"] - reached["seconds_evaluation"]).abs().max() < 1e-9


def test_no_other_design_is_cheaper(sweep: tables.Sweep) -> None:
    target, split = 0.6, truth.TEST_IMAGES
    table = planning.plan(sweep, target).set_index(["model.latent_dim", "quantity", "sampling", "scope"])
    components = planning.measured(sweep)
    for dim, quantity in itertools.product((2, 8), ("elbo_closed_form", "k1")):
        same = (components["model.latent_dim"] == dim) & (components["quantity"] == quantity)
        rows = components[same & (components["sampling"] == "iid")]
        row = table.loc[(dim, quantity, "iid", "this split")]
        replicates, images = np.meshgrid(np.arange(1, 41), np.arange(1, split + 1))
        best = np.inf
        for level in rows.to_dict("records"):
            parts = (level[name] for name in ("between_replicates", "between_images", "monte_carlo"))
            error = planning.expected_standard_error(*parts, replicates=replicates, images=images, split_images=split)
            cost = replicates * (level["training"] + images * level["seconds"])
            best = min(best, cost[error <= target].min())
        assert row["seconds"] == pytest.approx(best)


def test_a_tighter_target_costs_more(sweep: tables.Sweep) -> None:
    costs = [planning.plan(sweep, target)["seconds"] for target in (2.0, 0.5)]
    for cheap, dear in itertools.pairwise(costs):
        assert (dear >= cheap * (1 - 1e-12))[dear.notna() & cheap.notna()].all()


def test_images_beyond_the_split_are_named(sweep: tables.Sweep) -> None:
    table = planning.plan(sweep, 0.5)
    needing = table[(table["scope"] == "new images") & (table["images"] > truth.TEST_IMAGES)]
    assert len(needing) > 0
    assert needing["note"].eq("needs more than the split's 270 images").all()
    assert (table.loc[table["scope"] == "this split", "images"].dropna() <= truth.TEST_IMAGES).all()


def test_one_plan_over_everything(sweep: tables.Sweep) -> None:
    table = planning.plan(sweep, 1.0, by=())
    assert "model.latent_dim" not in table.columns
    assert not table.duplicated(["quantity", "sampling", "num_importance_samples", "scope"]).any()


def test_without_the_size_of_the_split_there_is_no_plan_for_it(tmp_path: Path) -> None:
    folder = synthetic.write(tmp_path, dims=(2,), epochs=1, pictures=False)
    (folder / "sweep.json").write_text('{"name": "no data"}')
    assert set(planning.plan(tables.load(folder), 1.0)["scope"]) == {"new images"}


def test_one_replicate_cannot_be_planned_from(tmp_path: Path) -> None:
    folder = synthetic.write(tmp_path, dims=(2,), replicates=1, epochs=1, pictures=False)
    table = planning.plan(tables.load(folder), 1.0)
    assert not table["reachable"].any()
    assert table["note"].str.startswith("cannot know from 1 seed a trial").all()
    assert table[["num_samples", "images", "replicates", "seconds"]].isna().all(axis=None)


@pytest.mark.parametrize("target", [0.0, -1.0, float("nan")])
def test_a_target_must_be_positive(sweep: tables.Sweep, target: float) -> None:
    with pytest.raises(ValueError, match="standard_error must be above 0 nats, got"):
        planning.plan(sweep, target)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"variance_study": False}, r"variance\.parquet: holds no rows; a plan needs the variance study"),
        ({"failed": 10**6}, r"variance\.parquet: holds no rows"),
        ({"stopped": 10**6}, r"trials\.parquet: no trial has finished"),
    ],
)
def test_a_plan_needs_a_study(tmp_path: Path, options: dict, message: str) -> None:
    sweep = tables.load(synthetic.write(tmp_path, dims=(2,), epochs=1, pictures=False, **options))
    with pytest.raises(TableError, match=message):
        planning.plan(sweep, 0.1)


def test_plans_are_deterministic(sweep: tables.Sweep) -> None:
    pd.testing.assert_frame_equal(planning.plan(sweep, 0.5), planning.plan(sweep, 0.5))
