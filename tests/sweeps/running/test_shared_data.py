"""Data sets travel through Ray's object store without a copy."""

from __future__ import annotations

import numpy as np
import torch

from pipeline.config import DataConfig
from pipeline.data.images import load
from sweeps.running import shared_data


def test_packed_data_are_the_same_data() -> None:
    data = load(DataConfig())
    packed = shared_data.pack(data)
    for value in packed.values():
        if isinstance(value, np.ndarray):
            value.flags.writeable = False
    unpacked = shared_data.unpack(packed)
    assert vars(unpacked).keys() == vars(data).keys()
    for key, value in vars(data).items():
        other = getattr(unpacked, key)
        assert torch.equal(value, other) if isinstance(value, torch.Tensor) else value == other, key
    assert unpacked.train.data_ptr() == data.train.data_ptr(), "no copy"
