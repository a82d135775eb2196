"""Reduced precision: on CUDA alone, and for the training steps alone."""

from __future__ import annotations

import pytest
import torch
from small_training import small_training

from pipeline.config import ConfigError
from pipeline.training import loop
from pipeline.training.loop import Training
from pipeline.training.precision import tf32


@pytest.mark.parametrize("precision", ["bfloat16", "tf32"])
def test_reduced_precision_needs_a_cuda_device(digits, precision):
    with pytest.raises(ConfigError, match=rf"training.precision '{precision}' needs a CUDA device, got 'cpu'"):
        Training(small_training(training={"precision": precision}), digits)


def test_tf32_is_for_the_training_steps_alone(digits, monkeypatch):
    """torch's own default would compute the convolutions of validation and evaluation in TF32 too."""
    monkeypatch.setattr(loop, "NEEDS_CUDA", ())  # the flags can be looked at without a device that heeds them
    replicate = Training(small_training(training={"precision": "tf32", "epochs": 1}), digits).replicates[0]
    seen = {}
    for name in ("update", "close"):
        inner = getattr(replicate, name)

        def looked(*arguments, inner=inner, name=name):
            seen[name] = (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32)
            return inner(*arguments)

        monkeypatch.setattr(replicate, name, looked)
    with tf32(False):
        replicate.advance(1)
    assert seen == {"update": (True, True), "close": (False, False)}
