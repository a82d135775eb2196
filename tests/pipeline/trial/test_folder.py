"""The folder of a trial: another trial's is refused, and so is one that cannot be written."""

from __future__ import annotations

import pytest
from small_trial import Interrupted, small_config

from pipeline.config import ConfigError, DataConfig
from pipeline.data import images
from pipeline.trial import run_trial


def test_the_folder_of_another_trial_is_refused_by_key(finished):
    _, folder, _ = finished
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(ConfigError, match=r"holds another trial: model.latent_dim is 2 there and 4 here") as caught:
        run_trial(small_config(model__latent_dim=4), folder)
    assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match=r"seed is 0 there and 1 here; choose another folder"):
        run_trial(small_config(seed=1), folder)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_other_data_under_the_same_name_are_refused(tmp_path, digits):
    def stop(epoch, metrics):
        raise Interrupted

    with pytest.raises(Interrupted):
        run_trial(small_config(), tmp_path, data=digits, report=stop)
    with pytest.raises(ConfigError, match=r"training\.pt: belongs to another trial: data\.checksum is"):
        run_trial(small_config(), tmp_path, data=images.load(DataConfig(train_images=200, split_seed=5)))


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path, digits):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigError, match="file: must be a folder that can be written"):
        run_trial(small_config(), tmp_path / "file", data=digits)
