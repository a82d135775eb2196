"""The three splits of a data set, and how images that come as one are split."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Split:
    """One split as it was read: pixels [image, height, width] between 0 and full scale, labels [image]."""

    pixels: np.ndarray
    labels: np.ndarray | None = None

    def __getitem__(self, index: np.ndarray | slice) -> Split:
        """Some of its images, with their labels."""
        return Split(self.pixels[index], None if self.labels is None else np.asarray(self.labels)[index])


class Reading(NamedTuple):
    """What a source gives: a Split for each of SPLITS, and the value of white."""

    splits: dict[str, Split]
    full_scale: float


def split_70_15_15(pixels: np.ndarray, labels: np.ndarray | None, seed: int) -> dict[str, Split]:
    """Split images stratified by label: within each class, images in a seeded order are cut at 70 % and 85 %."""
    order = np.random.default_rng(seed).permutation(len(pixels))
    classes = np.zeros(len(pixels), dtype=np.int64) if labels is None else np.asarray(labels)[order]
    position = np.empty(len(pixels))
    for label in np.unique(classes):
        (members,) = np.nonzero(classes == label)
        position[members] = (np.arange(len(members)) + 0.5) / len(members)
    whole = Split(pixels, labels)
    cuts = (("train", 0.0, 0.7), ("validation", 0.7, 0.85), ("test", 0.85, 1.0))
    return {name: whole[order[(position >= low) & (position < high)]] for name, low, high in cuts}
