"""Measuring a trained trial again, with other sizes."""

from __future__ import annotations

import pytest
from small_trial import small_config

from pipeline.config import ConfigError
from pipeline.trial import evaluate_trial, run_trial


def test_the_same_sizes_give_the_same_measurement(tmp_path, digits):
    result = run_trial(small_config(replicates=1, evaluation__pictures=False), tmp_path, data=digits)
    before = (tmp_path / "result.json").read_bytes()
    again = evaluate_trial(tmp_path, data=digits)
    assert again.metrics == result.metrics
    larger = evaluate_trial(tmp_path, {"evaluation.num_importance_samples": [1, 4, 16]}, data=digits)
    assert larger.metrics["test.iwae_16"] > larger.metrics["test.iwae_1"]
    assert larger.metrics["variance.k1_slope"] == result.metrics["variance.k1_slope"], "draws follow what was trained"
    assert larger.metrics["validation.elbo"] == result.metrics["validation.elbo"]
    assert larger.folder.parent == again.folder.parent == tmp_path / "evaluations"
    assert (tmp_path / "result.json").read_bytes() == before


def test_measuring_again_cannot_change_what_was_trained(finished, tmp_path):
    _, folder, _ = finished
    with pytest.raises(ConfigError, match=r"model\.latent_dim: only evaluation\.\* and variance\.\* can change.*got 4"):
        evaluate_trial(folder, {"model.latent_dim": 4})
    with pytest.raises(ConfigError, match=r"evaluation\.num_sample: unknown key"):
        evaluate_trial(folder, {"evaluation.num_sample": 4})
    with pytest.raises(ConfigError, match=r"config\.yaml: cannot be read: No such file"):
        evaluate_trial(tmp_path)
