"""Images as levels: exact quantisation, binarization, checksums, and the floor without z."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch

from pipeline.config import ConfigError, DataConfig
from pipeline.data import images
from pipeline.data.splits import SPLITS, Split


def _pixels(values: list[float]) -> np.ndarray:
    array = np.asarray(values)
    return array.astype(np.uint8) if array.dtype.kind == "i" else array


@pytest.mark.parametrize(
    ("pixels", "levels", "full_scale", "expected"),
    [
        ([0, 15, 16, 254, 255], 16, 255, [0, 0, 1, 15, 15]),
        ([0, 127, 128, 255], 2, 255, [0, 0, 1, 1]),
        ([0, 1, 254, 255], 256, 255, [0, 1, 254, 255]),
        ([0, 1, 15, 16], 16, 16, [0, 1, 15, 15]),
        ([0, 7, 8, 16], 2, 16, [0, 0, 1, 1]),
        ([0.0, 0.0624, 0.0625, 0.9999, 1.0], 16, 1, [0, 0, 1, 15, 15]),
        ([False, True], 2, 1, [0, 1]),
    ],
)
def test_quantise_is_floor_of_levels_times_share_of_white(pixels, levels, full_scale, expected):
    assert images.quantise(_pixels(pixels), levels, full_scale).tolist() == expected


def test_quantise_of_bytes_agrees_with_exact_rational_arithmetic():
    pixels = np.arange(256, dtype=np.uint8)
    for levels in (2, 3, 7, 16, 100, 255, 256):
        exact = [min(levels * x // 255, levels - 1) for x in range(256)]
        assert images.quantise(pixels, levels, 255).tolist() == exact


def test_checksum_names_the_pixels_and_their_splits():
    first = images.load(DataConfig())
    assert first.checksum == images.load(DataConfig()).checksum
    others = [
        DataConfig(split_seed=1),
        DataConfig(levels=8),
        DataConfig(train_images=100),
        DataConfig(binarization="static"),
    ]
    checksums = {first.checksum, *(images.load(config).checksum for config in others)}
    assert len(checksums) == 5


def test_checksum_of_the_default_data_is_what_it_always_was():
    assert images.load(DataConfig()).checksum.startswith("cd21956b6333dae2")


def test_train_images_takes_the_first_and_leaves_the_held_out_splits():
    whole, part = images.load(DataConfig()), images.load(DataConfig(train_images=100))
    assert torch.equal(part.train, whole.train[:100])
    assert torch.equal(part.train_labels, whole.train_labels[:100])
    assert torch.equal(part.test, whole.test)
    with pytest.raises(ConfigError, match=r"data.train_images must be at most 12\d\d.*got 5000"):
        images.load(DataConfig(train_images=5000))


def test_static_binarization_is_drawn_once_with_the_grey_value_as_probability():
    data = images.load(DataConfig(binarization="static"))
    assert data.levels == 2
    assert torch.equal(data.train, images.load(DataConfig(binarization="static")).train)
    grey = images.load(DataConfig(binarization="dynamic")).intensities.double()
    variance = (grey * (1 - grey)).sum()
    assert abs((data.train - grey).sum()) < 4 * variance.sqrt()
    assert bool((data.train[grey == 0] == 0).all())
    assert bool((data.train[grey == 1] == 1).all())


def test_dynamic_binarization_draws_anew_in_training_and_keeps_evaluation_fixed():
    static, dynamic = (images.load(DataConfig(binarization=kind)) for kind in ("static", "dynamic"))
    assert torch.equal(static.test, dynamic.test)
    assert torch.equal(static.train, dynamic.train)
    generator = torch.Generator().manual_seed(0)
    index = torch.arange(64)
    first, second = dynamic.train_batch(index, generator), dynamic.train_batch(index, generator)
    assert not torch.equal(first, second)
    assert torch.equal(dynamic.train_batch(index, torch.Generator().manual_seed(0)), first)
    assert first.dtype == torch.uint8
    assert set(first.unique().tolist()) == {0, 1}
    assert torch.equal(static.train_batch(index, generator), static.train[:64])


@pytest.mark.parametrize(
    ("pixels", "full_scale"),
    [
        (np.arange(17, dtype=np.uint8), 16),
        (np.arange(256, dtype=np.uint8), 255),
        (np.linspace(0, 1, 1001), 1),
        (np.linspace(0, 0.7, 50, dtype=np.float32), 0.7),
        (np.array([0.0, 1e-4, 0.1, 0.1]), 0.1),
        (np.array([False, True]), 1),
    ],
)
def test_dynamic_and_static_binarization_draw_with_the_same_probability(pixels, full_scale, monkeypatch):
    """The grey value over full scale, not its nearest 255th: 1e-4 is not 0, and 8 of 16 is a half."""
    splits = {name: Split(pixels.reshape(1, 1, -1), None) for name in SPLITS}
    data = images.assemble(DataConfig(name="npz:x", binarization="dynamic"), splits, full_scale)
    drawn_from = []
    monkeypatch.setattr(torch, "bernoulli", lambda grey, generator: drawn_from.append(grey) or grey)
    data.train_batch(torch.tensor([0]), torch.Generator())
    exact = pixels.astype(np.float64) / full_scale
    np.testing.assert_allclose(drawn_from[0].numpy().flatten(), exact, rtol=2e-7, atol=0)
    assert drawn_from[0].max() <= 1


def test_data_of_bytes_keep_their_checksum_with_dynamic_binarization():
    """Computed before grey values of other data were kept as floats."""
    pixels = np.arange(64, dtype=np.uint8).reshape(4, 4, 4) * 4
    splits = {name: Split(pixels, None) for name in SPLITS}
    data = images.assemble(DataConfig(name="npz:x", binarization="dynamic"), splits, 255)
    assert data.intensities.dtype == torch.uint8
    assert data.checksum == "188b7773652a4e50aa18dd159d09f1d635b978a9e02d1de53c2c4b6d279cdaf8"


def _tiny(train, held_out, levels=4):
    train, held_out = torch.tensor(train, dtype=torch.uint8), torch.tensor(held_out, dtype=torch.uint8)
    return images.ImageData("tiny", levels, train, held_out, held_out, checksum="")


def test_histogram_floor_by_hand():
    data = _tiny([[[0, 1]], [[0, 2]]], [[[0, 3]]])
    floor = images.histogram_floor(data)
    assert floor["train"] == pytest.approx(-math.log(3 / 6) - math.log(2 / 6))
    assert floor["test"] == pytest.approx(-math.log(3 / 6) - math.log(1 / 6))


def test_histogram_floor_of_digits_lies_below_the_uniform_code():
    data = images.load(DataConfig())
    floor = images.histogram_floor(data)
    assert all(0 < nats < 64 * math.log(16) for nats in floor.values())
    # The same histograms by numpy, image by image.
    counts = np.stack([(data.train.numpy() == level).sum(axis=0) for level in range(16)], axis=-1) + 1
    log_p = np.log(counts / counts.sum(axis=-1, keepdims=True))
    rows, columns = np.indices((8, 8))
    for name in SPLITS:
        per_image = [-log_p[rows, columns, image].sum() for image in getattr(data, name).numpy()]
        assert floor[name] == pytest.approx(np.mean(per_image))


def test_to_moves_every_tensor():
    data = images.load(DataConfig(binarization="dynamic"))
    assert data.to("cpu") is data
    moved = data.to("meta")
    tensors = [getattr(moved, field.name) for field in dataclasses.fields(moved)]
    assert {t.device.type for t in tensors if isinstance(t, torch.Tensor)} == {"meta"}
    assert moved.checksum == data.checksum
