"""The weights of a finished trial, as a model to go on with."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pipeline.config import ConfigError, DataConfig, config_hash, parse
from pipeline.data import images
from pipeline.data.images import ImageData
from pipeline.trial import load_vae, run_trial
from pipeline.trial.measure import measure

TREE = {
    "data": {"train_images": 200},
    "model": {"latent_dim": 2, "network": {"name": "mlp", "hidden": [16]}},
    "training": {"epochs": 2, "batch_size": 64},
    "evaluation": {"num_samples": 4, "num_importance_samples": [1, 4], "max_images": 24, "gap_images": 0},
    "variance": {"images": 8, "draws": 64, "num_samples": [1, 2], "gradient_repeats": 0},
    "replicates": 2,
    "first_replicate": 3,
}
CONFIG = parse(TREE)


@pytest.fixture(scope="module")
def digits() -> ImageData:
    return images.load(DataConfig(train_images=200))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, digits: ImageData) -> Path:
    folder = tmp_path_factory.mktemp("trial")
    run_trial(CONFIG, folder, data=digits)
    return folder


def test_a_loaded_replicate_measures_as_it_did(folder: Path, digits: ImageData) -> None:
    lines = (folder / "replicates.jsonl").read_text(encoding="utf-8").splitlines()
    row = next(row for row in map(json.loads, lines) if row["replicate"] == 4)
    vae = load_vae(folder, 4, data=digits)
    measured = measure(CONFIG, digits, vae, 4, config_hash(CONFIG))["metrics"]
    assert not vae.training
    assert {key: row[key] for key in measured} == measured


def test_without_a_number_it_is_the_first_replicate(folder: Path) -> None:
    one, same, other = (load_vae(folder, *number).decoder_parameters()[0] for number in ((), (3,), (4,)))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_what_was_not_trained_or_on_other_images_is_refused(folder: Path, digits: ImageData) -> None:
    with pytest.raises(ConfigError, match=r"replicate_0\.pt: holds no trained replicate"):
        load_vae(folder, 0)
    with pytest.raises(ConfigError, match=r"data\.checksum"):
        load_vae(folder, data=replace(digits, checksum="other"))
    with pytest.raises(ConfigError, match=r"config\.yaml: cannot be read"):
        load_vae(folder / "nothing")
