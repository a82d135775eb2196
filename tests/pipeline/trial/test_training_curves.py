"""The picture of the training curves: lines fall where the numbers fall, and the axis suits a trained model."""

from __future__ import annotations

import math

import numpy as np
import pytest
from PIL import Image

from pipeline.trial.training_curves import CURVE_MARGINS, CURVE_SIZE, CURVES, ticks, training_curves


def _open(path):
    with Image.open(path) as picture:
        return np.asarray(picture.convert("L"))


def _history(validation, train=None):
    train = [None] * len(validation) if train is None else train
    return [
        {"replicate": 0, "epoch": epoch, "train.bits_per_dim": t, "validation.bits_per_dim": v}
        for epoch, (t, v) in enumerate(zip(train, validation))
    ]


def _coloured(path, colour):
    """Rows and columns of the field's pixels near a colour."""
    with Image.open(path) as picture:
        left, top, right, bottom = CURVE_MARGINS
        field = np.asarray(picture, dtype=int)[top:-bottom, left:-right]
    return np.nonzero(np.abs(field - np.asarray(colour)).max(axis=-1) < 40)


def test_training_curves_fall_where_the_numbers_fall(tmp_path):
    values = [3.0 - 0.01 * epoch for epoch in range(101)]
    training_curves(_history(values, [None, *(value - 0.2 for value in values[1:])]), tmp_path / "a.png")
    for colour in CURVES.values():
        rows, columns = _coloured(tmp_path / "a.png", colour)
        assert np.corrcoef(rows, columns)[0, 1] > 0.98  # down is less
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.size == CURVE_SIZE


@pytest.mark.parametrize(("iwae", "best"), [(None, 30), (12, 12)])
def test_the_best_epoch_has_a_dot(tmp_path, iwae, best):
    """By bits per dimension, or by IWAE's own bound, whose best epoch is another."""
    rows = _history([2.0 + abs(epoch - 30) / 100 for epoch in range(41)])
    if iwae is not None:
        rows = [row | {"validation.iwae_8": -abs(row["epoch"] - iwae)} for row in rows]
    training_curves(rows, tmp_path / "a.png")
    rows, columns = _coloured(tmp_path / "a.png", CURVES["validation.bits_per_dim"])
    width = CURVE_SIZE[0] - CURVE_MARGINS[0] - CURVE_MARGINS[2]
    tall = [np.ptp(rows[columns == column]) if (columns == column).any() else 0 for column in range(width)]
    assert abs(int(np.argmax(tall)) - best / 40 * (width - 1)) <= 4


def test_an_untrained_epoch_does_not_set_the_axis(tmp_path):
    late = [2.0 - 0.001 * epoch for epoch in range(100)]
    for name, first in (("a", 2.0), ("b", 50.0)):
        training_curves(_history([first, *late]), tmp_path / f"{name}.png")
    right = [_open(tmp_path / f"{name}.png")[:, 100:] for name in "ab"]
    assert np.array_equal(*right)


def test_a_single_epoch_is_a_dot_and_none_is_an_error(tmp_path):
    training_curves(_history([2.0]), tmp_path / "a.png")
    assert len(_coloured(tmp_path / "a.png", CURVES["validation.bits_per_dim"])[0]) > 10
    with pytest.raises(ValueError, match="at least one epoch with a finite bits_per_dim, got none"):
        training_curves(_history([math.nan]), tmp_path / "b.png")


@pytest.mark.parametrize("bad", [math.nan, math.inf, 1e300, 1e30, 1e16, -1e20])
@pytest.mark.parametrize("at", [0, 5, 9])
def test_a_trial_that_diverges_has_its_picture(tmp_path, bad, at):
    values = [2.0 - 0.1 * epoch for epoch in range(10)]
    values[at] = bad
    training_curves(_history(values, values), tmp_path / "a.png")
    assert len(_coloured(tmp_path / "a.png", CURVES["validation.bits_per_dim"])[0]) > 10
    training_curves(_history([2.0, bad, 2.0, 2.0]), tmp_path / "same.png")


@pytest.mark.parametrize("size", [1e-300, 1e-12, 1.0, 3e14, 1e99])
def test_ticks_are_few_at_any_size(size):
    assert 2 <= len(ticks(0.0, size)) <= 7


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 60, [0, 10, 20, 30, 40, 50, 60]), (1.74, 2.41, [1.8, 2.0, 2.2, 2.4]), (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1.0])],
)
def test_ticks_are_round(low, high, expected):
    assert ticks(low, high) == expected
