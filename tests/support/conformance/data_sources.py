"""What holds for every data source: each check raises AssertionError where a source breaks it.

A test runs `CHECKS` over `pipeline.data.sources.SOURCES`, so a source is tested by being registered.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.config import DataConfig
from pipeline.data import images
from pipeline.data.sources import Source
from pipeline.data.splits import SPLITS, Reading


@dataclass(frozen=True)
class Case:
    """A source, with small files that it reads."""

    source: Source
    config: DataConfig
    root: Path
    count: int
    """Images in the files."""

    def read(self, seed: int = 0) -> Reading:
        return self.source.read(self.config.model_copy(update={"split_seed": seed}), self.root, download=False)


def pixels_are_arrays_between_black_and_white(case: Case) -> None:
    splits, full_scale = case.read()
    assert tuple(splits) == SPLITS
    assert len({split.pixels.shape[1:] for split in splits.values()}) == 1
    for split in splits.values():
        assert split.pixels.ndim == 3
        assert 0 not in split.pixels.shape
        assert split.pixels.dtype == np.uint8 or split.pixels.dtype.kind in "fb"
        assert split.pixels.min() >= 0
    # White occurs in the files, and the largest value is white: neither a wrong scale nor inverted images pass.
    assert max(split.pixels.max() for split in splits.values()) == full_scale


def splits_lose_and_invent_no_image(case: Case) -> None:
    splits = case.read().splits
    assert sum(len(split.pixels) for split in splits.values()) == case.count
    counts = Counter(image for split in splits.values() for image in _images(split.pixels))
    for seed in (1, 2):
        again = case.read(seed).splits
        assert counts == Counter(image for split in again.values() for image in _images(split.pixels))


def splits_share_no_image(case: Case) -> None:
    splits = case.read().splits
    train, validation, test = (set(_images(splits[name].pixels)) for name in SPLITS)
    assert not train & validation
    assert not train & test
    assert not validation & test


def most_images_are_for_training(case: Case) -> None:
    splits = case.read().splits
    assert len(splits["train"].pixels) >= len(splits["validation"].pixels)
    assert len(splits["train"].pixels) >= case.count / 2


def the_seed_alone_decides_the_splits(case: Case) -> None:
    np.random.seed(0)  # noqa: NPY002 -- a source that draws from the global generator is to be found here
    first, again, other = case.read(0), case.read(0), case.read(1)
    for name in SPLITS:
        assert np.array_equal(first.splits[name].pixels, again.splits[name].pixels)
    assert not np.array_equal(first.splits["validation"].pixels, other.splits["validation"].pixels)


def labels_stay_with_their_images(case: Case) -> None:
    label_of: dict[bytes, int] = {}
    for seed in (0, 1):
        for split in case.read(seed).splits.values():
            if split.labels is None:
                continue
            assert split.labels.shape == (len(split.pixels),)
            assert split.labels.dtype.kind in "iu"
            for image, label in zip(_images(split.pixels), split.labels.tolist()):
                assert label_of.setdefault(image, label) == label


def levels_run_from_black_to_white(case: Case) -> None:
    """Through `images.load`, with any number of levels, and binarised."""
    for change in ({"levels": 2}, {"levels": 16}, {"levels": 256}, {"binarization": "dynamic"}):
        config = case.config.model_copy(update=change)
        data = images.assemble(config, case.read().splits, case.read().full_scale)
        levels = 2 if "binarization" in change else change["levels"]
        assert data.levels == levels
        for name in SPLITS:
            tensor = getattr(data, name)
            assert str(tensor.dtype) == "torch.uint8"
            assert int(tensor.max()) < levels  # type: ignore[operator]
        assert int(data.train.min()) == 0
        assert int(data.train.max()) == levels - 1  # type: ignore[operator]


def the_checksum_is_that_of_the_pixels_and_splits(case: Case) -> None:
    def checksum(seed: int) -> str:
        splits, full_scale = case.read(seed)
        return images.assemble(case.config, splits, full_scale).checksum

    assert checksum(0) == checksum(0)
    assert checksum(0) != checksum(1)


def reading_changes_no_file(case: Case) -> None:
    before = {path: path.stat().st_mtime_ns for path in case.root.rglob("*")}
    case.read()
    assert {path: path.stat().st_mtime_ns for path in case.root.rglob("*")} == before


CHECKS = (
    pixels_are_arrays_between_black_and_white,
    splits_lose_and_invent_no_image,
    splits_share_no_image,
    most_images_are_for_training,
    the_seed_alone_decides_the_splits,
    labels_stay_with_their_images,
    levels_run_from_black_to_white,
    the_checksum_is_that_of_the_pixels_and_splits,
    reading_changes_no_file,
)


def _images(pixels: np.ndarray) -> list[bytes]:
    return [np.ascontiguousarray(image).tobytes() for image in pixels]
