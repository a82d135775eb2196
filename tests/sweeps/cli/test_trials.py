"""Commands about one trial."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from recorded_sweep import TRIAL, Command


def test_train_and_evaluate(elbosweep: Command, tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(TRIAL))
    code, out, err = elbosweep("train", "tiny.yaml", "--set", "training.epochs=1", "--device", "cpu")
    assert code == 0
    assert "epoch 1/1" in err
    result = json.loads((tmp_path / "trials" / "tiny" / "result.json").read_text())
    assert result["config"]["training.epochs"] == 1
    assert f"{result['metrics']['test.elbo']:.4f}" in out
    code, out, _ = elbosweep("evaluate", "trials/tiny", "--set", "evaluation.num_importance_samples=[1, 4]")
    assert code == 0
    assert "test.iwae_4" in out


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("training.epochs", "must be KEY=VALUE, got 'training.epochs'"),
        ("training.epoch=3", "training.epoch: unknown key (did you mean 'training.epochs'?), got '3'"),
        ("training.epochs=-3", "training.epochs: must be at least 0, got -3"),
    ],
)
def test_assignments_are_checked(elbosweep: Command, tmp_path: Path, assignment: str, message: str) -> None:
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(TRIAL))
    code, _, err = elbosweep("train", "tiny.yaml", "--set", assignment)
    assert code == 2
    assert f"--set: {message}" in err


def test_a_misspelt_key_of_a_trial_gets_the_one_that_was_meant(elbosweep: Command, tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text("training: {lr: 0.1}")
    said = "elbosweep: tiny.yaml: training.lr: unknown key (did you mean 'training.learning_rate'?), got 0.1\n"
    assert elbosweep("train", "tiny.yaml") == (2, "", said)
    (tmp_path / "tiny.yaml").write_text("training: {epochs: 2026-01-01}")
    said = "elbosweep: tiny.yaml: training.epochs: must be an integer, got '2026-01-01'\n"
    assert elbosweep("train", "tiny.yaml") == (2, "", said)
