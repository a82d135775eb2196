"""The result of a trial: what its folder holds, means and errors over replicates."""

from __future__ import annotations

import json
import math
import statistics

import pytest
import torch
import yaml
from small_trial import rows_of, small_config

from pipeline.config import config_hash, flatten, parse
from pipeline.data import images
from pipeline.data.splits import SPLITS
from pipeline.layout import LONG_TABLES, MEASURED_TABLES
from pipeline.trial import run_trial


def test_the_folder_is_complete_and_nothing_is_left_over(finished):
    _, folder, _ = finished
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    pictures = (
        "manifold",
        "reconstructions",
        "samples_epoch_0000",
        "samples_epoch_0001",
        "samples_epoch_0002",
        "samples_final",
        "training_curves",
    )
    assert names == sorted(
        ["config.yaml", "result.json", "checkpoints/replicate_0.pt", "checkpoints/replicate_1.pt"]
        + [f"{table}.jsonl" for table in LONG_TABLES]
        + [f"pictures/{name}.png" for name in pictures]
    )


def test_result_says_what_was_run_on_what(finished, digits):
    result, folder, _ = finished
    record = json.loads((folder / "result.json").read_text())
    assert result.record == record
    assert (record["schema"], record["status"]) == (1, "finished")
    assert record["config_hash"] == config_hash(small_config())
    assert record["config"] == flatten(small_config())
    assert record["data"]["checksum"] == digits.checksum
    assert record["data"]["histogram_floor"] == pytest.approx(images.histogram_floor(digits)["test"])
    assert [record["data"][split] for split in SPLITS] == [len(getattr(digits, split)) for split in SPLITS]
    assert record["environment"]["torch"] == torch.__version__
    assert record["environment"]["device"] == "cpu"
    assert set(record["seconds"]) == {"training", "evaluation", "variance", "gradients", "pictures", "total"}
    assert record["seconds"]["total"] >= sum(value for key, value in record["seconds"].items() if key != "total")
    assert parse(yaml.safe_load((folder / "config.yaml").read_text())) == small_config()


def test_metrics_are_means_and_standard_errors_over_replicates(finished):
    result, folder, _ = finished
    rows = rows_of(folder, "replicates")
    assert [row["replicate"] for row in rows] == [0, 1]
    for name in ("validation.elbo", "test.elbo", "test.iwae_4", "test.bits_per_dim", "variance.k1_ratio"):
        values = [row[name] for row in rows]
        assert result.metrics[name] == pytest.approx(statistics.fmean(values))
        assert result.metrics[f"{name}.standard_error"] == pytest.approx(statistics.stdev(values) / math.sqrt(2))
    assert not [name for name in result.metrics if name.startswith("seconds") or name.endswith("error.standard_error")]


def test_replicate_rows_tell_the_best_epoch_of_the_history(finished):
    _, folder, _ = finished
    history = rows_of(folder, "history")
    assert len(history) == 8
    for row in rows_of(folder, "replicates"):
        own = {h["epoch"]: h["validation.elbo"] for h in history if h["replicate"] == row["replicate"]}
        assert row["validation.elbo"] == max(own.values()) == own[row["best_epoch"]]
        assert (row["status"], row["epochs"]) == ("finished", 3)
        assert 0 <= row["seed"] < 2**63


def test_long_tables_hold_every_replicate(finished):
    _, folder, _ = finished
    for table in MEASURED_TABLES:
        assert {row["replicate"] for row in rows_of(folder, table)} == {0, 1}
    assert {row["sampling"] for row in rows_of(folder, "variance")} == {"iid", "antithetic", "sobol"}


def test_one_replicate_has_no_standard_error(tmp_path, digits):
    reported = []
    config = small_config(replicates=1, evaluation__pictures=False)
    result = run_trial(config, tmp_path, data=digits, report=lambda epoch, metrics: reported.append(metrics))
    assert result.metrics["test.elbo.standard_error"] is None
    assert "validation.elbo.standard_error" not in reported[0]
    assert not (tmp_path / "pictures").exists()
