"""Data sources: what holds for every registered one, what each reads, and broken sources that the checks find."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from conformance import data_sources
from conformance.data_sources import Case
from data_files import write_files, write_idx_files, write_omniglot

from pipeline.config import DATASETS, DataConfig
from pipeline.data import images
from pipeline.data.sources import SOURCES, Digits, Torchvision
from pipeline.data.splits import SPLITS, Reading, Split

IDX = [name for name, source in SOURCES.items() if isinstance(source, Torchvision) and name != "omniglot"]


# --- every source ---------------------------------------------------------------------------------------------------


def case_of(name: str, root: Path) -> Case:
    config, count = write_files(name, root)
    return Case(SOURCES[name], config, root, count)


def test_the_configuration_names_every_source() -> None:
    assert {*DATASETS, "npz"} == set(SOURCES)


@pytest.mark.parametrize("check", data_sources.CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", SOURCES)
def test_every_source_conforms(name: str, check: Callable[[Case], None], tmp_path: Path) -> None:
    check(case_of(name, tmp_path))


@pytest.mark.parametrize("name", SOURCES)
def test_every_source_is_found_by_its_name(name: str, tmp_path: Path) -> None:
    case = case_of(name, tmp_path)
    data = images.load(case.config, data_dir=tmp_path, download=False)
    splits, full_scale = case.read()
    assert data.checksum == images.assemble(case.config, splits, full_scale).checksum


# --- broken sources, which the checks must find ---------------------------------------------------------------------


class Overlapping(Digits):
    def read(self, *arguments: object, **more: object) -> Reading:
        splits, full_scale = super().read(*arguments, **more)  # type: ignore[arg-type]
        train, validation = splits["train"], splits["validation"]
        pixels = np.concatenate([validation.pixels[1:], train.pixels[:1]])
        return Reading(splits | {"validation": Split(pixels, validation.labels)}, full_scale)


class Losing(Digits):
    def read(self, *arguments: object, **more: object) -> Reading:
        splits, full_scale = super().read(*arguments, **more)  # type: ignore[arg-type]
        return Reading(splits | {"test": splits["test"][:-1]}, full_scale)


class Unseeded(Digits):
    def read(self, *arguments: object, **more: object) -> Reading:
        splits, full_scale = super().read(*arguments, **more)  # type: ignore[arg-type]
        order = np.random.permutation(len(splits["train"].pixels))  # noqa: NPY002
        return Reading(splits | {"train": splits["train"][order]}, full_scale)


class IgnoresTheSeed(Digits):
    def read(self, config: DataConfig, *arguments: object, **more: object) -> Reading:  # type: ignore[override]
        return super().read(config.model_copy(update={"split_seed": 0}), *arguments, **more)  # type: ignore[arg-type]


class WrongScale(Digits):
    def read(self, *arguments: object, **more: object) -> Reading:
        return super().read(*arguments, **more)._replace(full_scale=255)  # type: ignore[arg-type]


class ShuffledLabels(Digits):
    def read(self, *arguments: object, **more: object) -> Reading:
        splits, full_scale = super().read(*arguments, **more)  # type: ignore[arg-type]
        return Reading({name: Split(s.pixels, np.sort(s.labels)) for name, s in splits.items()}, full_scale)


class Flat(Digits):
    def read(self, *arguments: object, **more: object) -> Reading:
        splits, full_scale = super().read(*arguments, **more)  # type: ignore[arg-type]
        return Reading(
            {name: Split(s.pixels.reshape(len(s.pixels), -1), s.labels) for name, s in splits.items()}, full_scale
        )


class Swapped(Digits):
    def read(self, *arguments: object, **more: object) -> Reading:
        splits, full_scale = super().read(*arguments, **more)  # type: ignore[arg-type]
        return Reading(splits | {"train": splits["test"], "test": splits["train"]}, full_scale)


@pytest.mark.parametrize(
    ("broken", "check"),
    [
        (Overlapping, data_sources.splits_share_no_image),
        (Overlapping, data_sources.splits_lose_and_invent_no_image),
        (Losing, data_sources.splits_lose_and_invent_no_image),
        (Unseeded, data_sources.the_seed_alone_decides_the_splits),
        (Unseeded, data_sources.the_checksum_is_that_of_the_pixels_and_splits),
        (IgnoresTheSeed, data_sources.the_seed_alone_decides_the_splits),
        (WrongScale, data_sources.pixels_are_arrays_between_black_and_white),
        (WrongScale, data_sources.levels_run_from_black_to_white),
        (ShuffledLabels, data_sources.labels_stay_with_their_images),
        (Flat, data_sources.pixels_are_arrays_between_black_and_white),
        (Swapped, data_sources.most_images_are_for_training),
    ],
)
def test_a_broken_source_does_not_conform(broken: type[Digits], check: Callable[[Case], None], tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        check(Case(broken(), DataConfig(), tmp_path, 1797))


# --- single sources -------------------------------------------------------------------------------------------------


def test_mnist_splits_and_floor(monkeypatch):
    root = os.environ["MNIST_FOR_TESTS"]
    if not (Path(root or "nowhere") / "MNIST" / "raw").is_dir():
        pytest.skip("ELBOSWEEP_DATA names no folder with MNIST/raw")
    monkeypatch.setenv("ELBOSWEEP_DATA", root)
    data = images.load(DataConfig(name="mnist"), download=False)
    assert (len(data.train), len(data.validation), len(data.test)) == (54_000, 6_000, 10_000)
    assert int(data.train.max()) == 15
    floor = images.histogram_floor(data)["test"]
    assert floor == pytest.approx(530.8, abs=0.2)
    assert floor / (784 * math.log(2)) == pytest.approx(0.9768, abs=3e-4)


def test_digits_are_split_70_15_15_in_each_class_without_loss():
    from sklearn.datasets import load_digits

    data = images.load(DataConfig())
    counts = {name: len(getattr(data, name)) for name in SPLITS}
    assert sum(counts.values()) == 1797
    per_class = np.bincount(load_digits().target)
    for name, share in (("train", 0.70), ("validation", 0.15), ("test", 0.15)):
        counted = torch.bincount(getattr(data, f"{name}_labels"), minlength=10).numpy()
        assert np.abs(counted - share * per_class).max() <= 1
    whole = torch.cat([data.train, data.validation, data.test]).flatten(1)
    expected = torch.from_numpy(np.minimum(load_digits().images, 15).astype(np.uint8)).flatten(1)
    assert torch.equal(
        torch.unique(whole, dim=0, return_counts=True)[1], torch.unique(expected, dim=0, return_counts=True)[1]
    )
    assert torch.equal(torch.unique(whole, dim=0), torch.unique(expected, dim=0))
    assert data.image_shape == (8, 8)
    assert data.num_pixels == 64
    assert data.levels == 16


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("name", IDX)
def test_files_in_torchvisions_layout_are_read_and_never_written(name: str, compress: bool, tmp_path: Path) -> None:
    source = SOURCES[name]
    assert isinstance(source, Torchvision)
    pixels = write_idx_files(tmp_path, source, compress=compress)
    for folder in (path for path in tmp_path.rglob("*") if path.is_dir()):
        folder.chmod(0o555)
    data = images.load(DataConfig(name=name, levels=256), data_dir=tmp_path, download=False)
    expected = pixels[20:].transpose(0, 2, 1) if name == "emnist_digits" else pixels[20:]
    assert np.array_equal(data.test.numpy(), np.minimum(256 * expected.astype(int) // 255, 255))
    assert (len(data.train), len(data.validation), len(data.test)) == (18, 2, 5)


def test_torchvision_reads_the_same_pixels(tmp_path: Path) -> None:
    from torchvision.datasets import MNIST

    source = SOURCES["mnist"]
    assert isinstance(source, Torchvision)
    write_idx_files(tmp_path, source)
    train, _ = source.arrays(tmp_path / source.files.folder)
    of_torchvision = MNIST(tmp_path, train=True)
    assert np.array_equal(train.pixels, of_torchvision.data.numpy())
    assert train.labels is not None
    assert np.array_equal(train.labels, of_torchvision.targets.numpy())


def test_omniglot_is_read_from_its_archives_as_white_strokes(tmp_path: Path) -> None:
    source = SOURCES["omniglot"]
    assert isinstance(source, Torchvision)
    write_omniglot(tmp_path, source)
    data = images.load(DataConfig(name="omniglot"), data_dir=tmp_path, download=False)
    assert (len(data.train), len(data.validation), len(data.test)) == (9, 1, 4)
    assert bool((data.test[:, :12] == 15).all())
    assert bool((data.test[:, 12:16] == 0).all())
    assert data.test_labels is not None
    assert set(data.test_labels.tolist()) == {0, 1}
