"""One's own images: every key of a .npz file, and every way in which reading it can fail."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.config import ConfigError, DataConfig
from pipeline.data import images
from pipeline.data.splits import SPLITS


def _npz(tmp_path: Path, **arrays: object) -> DataConfig:
    np.savez(tmp_path / "own.npz", **arrays)
    return DataConfig(name=f"npz:{tmp_path / 'own.npz'}", levels=4)


def test_npz_splits_are_used_as_they_are(tmp_path):
    bytes_ = np.arange(2 * 3 * 5, dtype=np.uint8).reshape(2, 3, 5) * 8
    data = images.load(_npz(tmp_path, train=bytes_, validation=bytes_[:1], test=bytes_[1:], test_labels=np.array([3])))
    assert torch.equal(data.train, images.quantise(bytes_, 4, 255))
    assert data.image_shape == (3, 5)
    assert data.test_labels.tolist() == [3]
    assert data.train_labels is None


def test_npz_images_are_split_by_class(tmp_path):
    pixels = np.random.default_rng(0).random((100, 4, 4))
    data = images.load(_npz(tmp_path, images=pixels, labels=np.repeat([0, 1], 50)))
    assert [len(getattr(data, name)) for name in SPLITS] == [70, 14, 16]
    assert torch.bincount(data.train_labels).tolist() == [35, 35]


def test_npz_full_scale(tmp_path):
    pixels = np.full((10, 2, 2), 7, dtype=np.uint8)
    data = images.load(_npz(tmp_path, train=pixels, validation=pixels, test=pixels, full_scale=8))
    assert set(data.train.unique().tolist()) == {3}


GOOD = np.zeros((20, 2, 2), dtype=np.uint8)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"pictures": GOOD}, "needs the key 'images' or the keys 'train', 'validation', 'test'.*got pictures"),
        ({"train": GOOD, "test": GOOD}, "'validation' is missing, got test, train"),
        ({"images": GOOD[..., None]}, r"'images' must have shape \[images, height, width\].*got \(20, 2, 2, 1\)"),
        ({"images": GOOD[:0]}, r"none of them 0, got \(0, 2, 2\)"),
        ({"images": GOOD.astype(np.int32)}, "'images' must hold uint8, floats or booleans, got int32"),
        ({"images": GOOD + 0.5 - 1.0}, "must lie between 0 and full_scale = 1, got -0.5 to -0.5"),
        ({"images": GOOD + np.nan}, "must lie between 0 and full_scale = 1, got nan to nan"),
        ({"images": GOOD + np.uint8(9), "full_scale": 8}, "must lie between 0 and full_scale = 8, got 9 to 9"),
        ({"images": GOOD, "full_scale": -1}, "'full_scale' must be one number from 1e-30 to"),
        ({"images": np.zeros((9, 2, 2)), "full_scale": 1e-50}, "one number from 1e-30 to 1e[+]30, got array"),
        (
            {"images": GOOD, "labels": np.zeros(3, dtype=int)},
            r"'labels' must be 20 integers, got int64 of shape \(3,\)",
        ),
        ({"images": GOOD[:2]}, "needs enough images.*got 2, which leave"),
        (
            {"train": GOOD, "validation": GOOD[:, :1], "test": GOOD},
            r"must have one shape, got train \(2, 2\), validation",
        ),
        ({"images": np.array([{}])}, "is not a .npz file of plain arrays"),
    ],
)
def test_a_bad_npz_names_file_key_rule_and_value(tmp_path, arrays, message):
    config = _npz(tmp_path, **arrays)
    with pytest.raises(ConfigError, match=message) as caught:
        images.load(config)
    assert str(tmp_path / "own.npz") in str(caught.value)


@pytest.mark.parametrize("content", [None, b"", b"not a zip file", b"PK\x03\x04 cut short"])
def test_an_npz_that_is_absent_or_no_archive(tmp_path, content):
    path = tmp_path / "own.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"own\.npz: (No such file|is not a \.npz file)"):
        images.load(DataConfig(name=f"npz:{path}"))
