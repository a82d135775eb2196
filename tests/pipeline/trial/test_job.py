"""What a trial is computed with: device and threads."""

from __future__ import annotations

import pytest
import torch
from small_trial import small_config

from pipeline.config import ConfigError
from pipeline.model.vae import MAX_DECODES
from pipeline.trial import run_trial
from pipeline.trial.job import Job


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"device": "abacus"}, "device must be one that torch can use, got 'abacus'"),
        ({"device": "cuda:99"}, "device must be one that torch can use, got 'cuda:99'"),
        ({"threads": 0}, "threads must be at least 1, got 0"),
    ],
)
def test_bad_arguments(tmp_path, digits, arguments, message):
    with pytest.raises(ConfigError, match=message):
        run_trial(small_config(), tmp_path, data=digits, **arguments)


def test_threads_are_set(tmp_path, digits):
    before = torch.get_num_threads()
    try:
        result = run_trial(small_config(evaluation__pictures=False, replicates=1), tmp_path, data=digits, threads=1)
        assert torch.get_num_threads() == 1
        assert result.record["environment"]["threads"] == 1
    finally:
        torch.set_num_threads(before)


def test_less_memory_means_half_as_many_images_at_once(tmp_path, digits):
    job = Job(small_config(), digits, tmp_path, "cpu")
    assert job.with_less_memory().max_decodes == MAX_DECODES // 2
    assert job.with_less_memory().with_less_memory().max_decodes == MAX_DECODES // 4
