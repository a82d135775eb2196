"""Loading a run folder: everything that is there, and one clear line for everything that is wrong."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
import synthetic

from analysis import tables
from analysis.tables import TableError

Change = Callable[[pd.DataFrame], pd.DataFrame]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    return synthetic.write(folder, dims=(2, 8), epochs=2, failed=1, stopped=1, suspect=1, pictures=False)


@pytest.fixture
def run(written: Path, tmp_path: Path) -> Path:
    """A run folder that the test may damage."""
    return shutil.copytree(written, tmp_path / "run")


def rewrite(path: Path, change: Change, version: int | None = 1) -> None:
    """Replace a table by a changed one."""
    synthetic.write_table(path, change(pq.read_table(path).to_pandas()), version)


def test_every_table_arrives_row_for_row(run: Path) -> None:
    sweep = tables.load(run)
    assert sweep.name == "synthetic"
    assert sweep.info["command"].startswith("elbosweep run")
    for name in tables.TABLES:
        assert len(getattr(sweep, name)) == pq.read_metadata(run / f"{name}.parquet").num_rows > 0


def test_the_same_options_write_the_same_bytes(tmp_path: Path) -> None:
    first, second = (synthetic.write(tmp_path / name, dims=(2,)) for name in ("a", "b"))
    files = sorted(path.relative_to(first) for path in first.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(second) for path in second.rglob("*") if path.is_file())
    assert all((first / file).read_bytes() == (second / file).read_bytes() for file in files)


@pytest.mark.parametrize("name", [n for n in tables.TABLES if n != "trials"])
def test_an_absent_optional_table_is_an_empty_frame_with_the_schemas_columns(run: Path, name: str) -> None:
    (run / f"{name}.parquet").unlink()
    frame = getattr(tables.load(run), name)
    assert len(frame) == 0
    assert list(frame.columns) == list(tables.schema()["tables"][name]["columns"])
    for column, rule in tables.schema()["tables"][name]["columns"].items():
        assert pd.api.types.is_numeric_dtype(frame[column]) == (rule["type"] in ("integer", "number"))


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("trials.parquet", r"trials\.parquet: does not exist"),
        ("sweep.json", r"sweep\.json: does not exist; is .* a sweep"),
    ],
)
def test_a_missing_required_file_is_named(run: Path, file: str, message: str) -> None:
    (run / file).unlink()
    with pytest.raises(TableError, match=message):
        tables.load(run)


@pytest.mark.parametrize("content", [b"", b"PAR1 not parquet", b"\x00" * 4096])
def test_a_corrupt_parquet_is_named(run: Path, content: bytes) -> None:
    (run / "variance.parquet").write_bytes(content)
    with pytest.raises(TableError, match=r"variance\.parquet: is not a readable parquet file") as error:
        tables.load(run)
    assert "\n" not in str(error.value)


def test_a_truncated_parquet_is_named(run: Path) -> None:
    path = run / "history.parquet"
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(TableError, match=r"history\.parquet: is not a readable parquet file"):
        tables.load(run)


@pytest.mark.parametrize(
    ("version", "message"),
    [
        (2, "schema version must be at most 1, got 2; update elbosweep"),
        (None, "metadata elbosweep.schema is missing"),
        ("one", "metadata elbosweep.schema must be a version number, got 'one'"),
    ],
)
def test_the_schema_version_is_checked(run: Path, version: int | None, message: str) -> None:
    rewrite(run / "replicates.parquet", lambda frame: frame, version)
    with pytest.raises(TableError, match=rf"replicates\.parquet: {message}"):
        tables.load(run)


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("variance", lambda f: f.drop(columns="excess_kurtosis"), "column excess_kurtosis is missing"),
        ("variance", lambda f: f.assign(variance="much"), "column variance must hold number values, got "),
        ("trials", lambda f: f.assign(trial=f.trial + 0.5), "column trial must hold integer values, got double"),
        ("trials", lambda f: f.assign(status="exploded"), "column status must be one of finished, .*, got 'exploded'"),
        ("trials", lambda f: f.assign(config_hash=None), "column config_hash must hold text values, got null"),
        ("trials", lambda f: f.assign(phase=f.phase.where(f.trial > 0)), "column phase must not be empty, got 1 empty"),
        ("trials", lambda f: pd.concat([f, f.head(1)]), "column trial: rows must be unique, got trial 0 twice"),
        ("replicates", lambda f: f.assign(trial=999), "rows must be unique|column trial must name a trial"),
        (
            "evidence",
            lambda f: f.assign(trial=f.trial + 900),
            "column trial must name a trial of trials.parquet, got 90",
        ),
    ],
)
def test_a_broken_column_is_named(run: Path, file: str, change: Change, message: str) -> None:
    rewrite(run / f"{file}.parquet", change)
    with pytest.raises(TableError, match=rf"{file}\.parquet: .*({message})") as error:
        tables.load(run)
    assert "\n" not in str(error.value)


def test_a_table_with_an_old_name_of_a_column_is_read(run: Path) -> None:
    today = tables.load(run).references
    rewrite(run / "references.parquet", lambda f: f.rename(columns={"model.latent_dim": "latent_dim"}))
    assert "latent_dim" in pq.read_schema(run / "references.parquet").names
    pd.testing.assert_frame_equal(tables.load(run).references, today)


@pytest.mark.parametrize(("text", "message"), [("{", "not valid JSON"), ("[]", "must hold a JSON object, got list")])
def test_a_damaged_sweep_json_is_named(run: Path, text: str, message: str) -> None:
    (run / "sweep.json").write_text(text)
    with pytest.raises(TableError, match=message):
        tables.load(run)


def test_a_column_without_any_value_is_accepted_where_the_schema_allows_it(run: Path) -> None:
    rewrite(run / "variance.parquet", lambda f: f.assign(predicted=None))
    frame = tables.load(run).variance
    assert frame["predicted"].dtype == "float64"
    assert frame["predicted"].isna().all()


def test_a_wide_table_can_grow_without_a_warning(run: Path) -> None:
    for name in ("trials", "replicates"):
        rewrite(
            run / f"{name}.parquet", lambda f: f.join(pd.DataFrame(dict.fromkeys(map(str, range(200)), 1.0), f.index))
        )
    sweep = tables.load(run)
    for frame in (sweep.trials, sweep.replicates, tables.joined(sweep), tables.joined(sweep, "variance")):
        assert len(frame.assign(added=1.0)) == len(frame)  # filterwarnings = error


@pytest.mark.parametrize(
    ("cell", "text"),
    [(None, ""), ("[]", ""), (json.dumps(["a", "b"]), "a; b"), ("plain", "plain"), ("[not json", "[not json")],
)
def test_reasons_become_plain_text(run: Path, cell: str | None, text: str) -> None:
    rewrite(run / "trials.parquet", lambda f: f.assign(suspect=cell, reason=cell))
    trials = tables.load(run).trials
    assert set(trials["suspect"]) == set(trials["reason"]) == {text}


def test_joining_brings_the_trials_configuration_and_only_the_wanted_trials(run: Path) -> None:
    sweep = tables.load(run)
    ended = sweep.trials.set_index("trial")["status"]
    assert {"failed", "stopped", "finished"} == set(ended)
    frame = tables.joined(sweep)
    assert set(frame["trial"]) == set(ended.index[ended == "finished"])
    everything = tables.joined(sweep, statuses=None)
    assert len(everything) == len(sweep.replicates) > len(frame)
    dims = sweep.trials.set_index("trial")["model.latent_dim"]
    assert (frame["model.latent_dim"] == frame["trial"].map(dims)).all()
    # Both tables have `seed`: the replicate's own wins.
    merged = frame.merge(sweep.replicates, on=["trial", "replicate"], suffixes=("", "_own"))
    assert (merged["seed"] == merged["seed_own"]).all()


def test_joining_can_bring_a_few_columns_only(run: Path) -> None:
    frame = tables.joined(tables.load(run), "variance", columns=["model.latent_dim"])
    assert {"model.latent_dim", "phase", "config_hash"} <= set(frame.columns)
    assert "kl.estimator" not in frame.columns


@pytest.mark.parametrize(
    "options",
    [
        {"failed": 10**6},
        {"trials": 1},
        {"dims": (4,), "replicates": 1},
        {"variance_study": False, "gradients": False, "evidence": False, "calibration": False},
        {"hostile": True, "failed": 1, "suspect": 1},
        {"running": 3, "state": "running"},
    ],
)
def test_every_kind_of_sweep_loads(tmp_path: Path, options: dict[str, Any]) -> None:
    sweep = tables.load(synthetic.write(tmp_path, pictures=False, **options))
    finished = (sweep.trials["status"] == "finished").sum()
    assert tables.joined(sweep)["trial"].nunique() == finished
    assert len(sweep.variance) > 0 or not options.get("variance_study", True) or finished == 0
