"""Images as levels: exact quantisation, splits, checksums, one's own files, and every way in which reading can fail."""

from __future__ import annotations

import dataclasses
import gzip
import io
import math
import os
import socket
import struct
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pipeline.config import ConfigError, DataConfig
from pipeline.data import downloads, images
from pipeline.data.sources import SPLITS


@pytest.fixture(autouse=True)
def own_folders(monkeypatch, tmp_path_factory):
    """No test reads this machine's data or writes to its cache, except the one that asks for MNIST."""
    monkeypatch.setenv("MNIST_FOR_TESTS", os.environ.get("ELBOSWEEP_DATA", ""))
    monkeypatch.delenv("ELBOSWEEP_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


# --- quantisation ---------------------------------------------------------------------------------------------------


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


# --- digits ---------------------------------------------------------------------------------------------------------


def test_digits_are_split_70_15_15_in_each_class_without_loss():
    from sklearn.datasets import load_digits

    data = images.load(DataConfig())
    counts = {name: len(getattr(data, name)) for name in SPLITS}
    assert sum(counts.values()) == 1797
    per_class = np.bincount(load_digits().target)
    for name, share in (("train", 0.70), ("validation", 0.15), ("test", 0.15)):
        found = torch.bincount(getattr(data, f"{name}_labels"), minlength=10).numpy()
        assert np.abs(found - share * per_class).max() <= 1
    whole = torch.cat([data.train, data.validation, data.test]).flatten(1)
    expected = torch.from_numpy(np.minimum(load_digits().images, 15).astype(np.uint8)).flatten(1)
    assert torch.equal(
        torch.unique(whole, dim=0, return_counts=True)[1], torch.unique(expected, dim=0, return_counts=True)[1]
    )
    assert torch.equal(torch.unique(whole, dim=0), torch.unique(expected, dim=0))
    assert data.image_shape == (8, 8)
    assert data.num_pixels == 64
    assert data.levels == 16


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


# --- binarization ---------------------------------------------------------------------------------------------------


def test_static_binarization_is_drawn_once_with_the_grey_value_as_probability():
    data = images.load(DataConfig(binarization="static"))
    assert data.levels == 2
    assert torch.equal(data.train, images.load(DataConfig(binarization="static")).train)
    grey = images.load(DataConfig(binarization="dynamic")).intensities.double() / 255
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


# --- the floor without z --------------------------------------------------------------------------------------------


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


# --- MNIST ----------------------------------------------------------------------------------------------------------


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


# --- torchvision's folders ------------------------------------------------------------------------------------------


def _idx(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def _write_mnist(
    folder: Path, files: tuple[str, ...], *, train: int = 20, test: int = 5, compress: bool = False
) -> np.ndarray:
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (train + test, 28, 28), dtype=np.uint8)
    labels = random.integers(0, 10, train + test, dtype=np.uint8)
    for file, array in zip(files, (pixels[:train], labels[:train], pixels[train:], labels[train:])):
        content = _idx(array)
        (folder / (file + ".gz" * compress)).write_bytes(gzip.compress(content) if compress else content)
    return pixels


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "kmnist", "emnist_digits"])
def test_files_in_torchvisions_layout_are_read_and_never_written(tmp_path, name, compress):
    source = downloads.SOURCES[name]
    pixels = _write_mnist(tmp_path / source.folder, source.files, compress=compress)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    for folder in (path for path in before if path.is_dir()):
        folder.chmod(0o555)
    data = images.load(DataConfig(name=name, levels=256), data_dir=tmp_path, download=False)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    expected = pixels[20:].transpose(0, 2, 1) if name == "emnist_digits" else pixels[20:]
    assert np.array_equal(data.test.numpy(), np.minimum(256 * expected.astype(int) // 255, 255))
    assert (len(data.train), len(data.validation), len(data.test)) == (18, 2, 5)


def test_torchvision_reads_the_same_pixels(tmp_path):
    from torchvision.datasets import MNIST

    source = downloads.SOURCES["mnist"]
    _write_mnist(tmp_path / source.folder, source.files)
    train, labels, _, _ = downloads.read_source("mnist", tmp_path, download=False)
    theirs = MNIST(tmp_path, train=True)
    assert np.array_equal(train, theirs.data.numpy())
    assert np.array_equal(labels, theirs.targets.numpy())


def test_the_environment_names_the_folder(tmp_path, monkeypatch):
    source = downloads.SOURCES["mnist"]
    _write_mnist(tmp_path / source.folder, source.files)
    monkeypatch.setenv("ELBOSWEEP_DATA", str(tmp_path))
    assert len(images.load(DataConfig(name="mnist"), download=False).test) == 5


def test_omniglot_is_read_from_its_archives_as_white_strokes(tmp_path):
    folder = tmp_path / "omniglot-py"
    folder.mkdir()
    for file, count in (("images_background.zip", 10), ("images_evaluation.zip", 4)):
        with zipfile.ZipFile(folder / file, "w") as archive:
            for number in range(count):
                page = np.full((105, 105), 255, dtype=np.uint8)
                page[:45] = 0  # ink over the first 12 of 28 rows
                buffer = io.BytesIO()
                Image.fromarray(page).save(buffer, format="PNG")
                archive.writestr(f"{file[:-4]}/Latin/character{number % 2:02}/{number:04}.png", buffer.getvalue())
    data = images.load(DataConfig(name="omniglot"), data_dir=tmp_path, download=False)
    assert (len(data.train), len(data.validation), len(data.test)) == (9, 1, 4)
    assert bool((data.test[:, :12] == 15).all())
    assert bool((data.test[:, 12:] == 0).all())
    assert set(data.test_labels.tolist()) == {0, 1}


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda content: content[:-7], r"must hold 15696 bytes for shape \(20, 28, 28\), got 15689"),
        (lambda content: b"<html>" + content, "is not an idx file of unsigned bytes"),
        (lambda content: b"", "is not an idx file of unsigned bytes"),
    ],
)
def test_a_damaged_file_is_named(tmp_path, damage, message):
    source = downloads.SOURCES["mnist"]
    _write_mnist(tmp_path / source.folder, source.files)
    file = tmp_path / source.folder / source.files[0]
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(ConfigError, match=message) as caught:
        images.load(DataConfig(name="mnist"), data_dir=tmp_path, download=False)
    assert str(file) in str(caught.value)


# --- downloading ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(downloads.SOURCES))
def test_missing_data_without_a_network_say_what_to_put_where(tmp_path, monkeypatch, name):
    monkeypatch.setattr(downloads, "_urls", lambda source: ["http://127.0.0.1:9/file"])
    started = time.monotonic()
    with pytest.raises(ConfigError, match="could not be downloaded") as caught:
        images.load(DataConfig(name=name), data_dir=tmp_path)
    assert time.monotonic() - started < 10
    message = str(caught.value)
    assert "\n" not in message
    assert str(tmp_path / downloads.SOURCES[name].folder) in message
    assert all(file in message for file in downloads.SOURCES[name].files)
    assert "'digits' needs no download" in message
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_never_answers_is_given_up_after_the_probes_patience(tmp_path, monkeypatch):
    monkeypatch.setattr(downloads, "PROBE_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setattr(downloads, "_urls", lambda source: [f"http://127.0.0.1:{silent.getsockname()[1]}/file"])
        started = time.monotonic()
        with pytest.raises(ConfigError, match="could not be downloaded"):
            images.load(DataConfig(name="mnist"), data_dir=tmp_path)
        assert time.monotonic() - started < 3


def test_a_download_arrives_whole_and_an_interrupted_one_leaves_nothing(tmp_path, monkeypatch):
    source = downloads.SOURCES["mnist"]
    monkeypatch.setattr(downloads, "_out_of_reach", lambda urls: "")

    def broken(name, source, folder):
        _write_mnist(folder / source.folder, source.files[:2])
        raise RuntimeError("connection lost")

    monkeypatch.setattr(downloads, "_fetch", broken)
    with pytest.raises(ConfigError, match="connection lost"):
        images.load(DataConfig(name="mnist"), data_dir=tmp_path)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(
        downloads, "_fetch", lambda name, source, folder: _write_mnist(folder / source.folder, source.files)
    )
    assert len(images.load(DataConfig(name="mnist"), data_dir=tmp_path).test) == 5
    assert sorted(path.name for path in (tmp_path / source.folder).iterdir()) == sorted(source.files)
    assert [path.name for path in tmp_path.iterdir()] == ["MNIST"]


def test_torchvision_offers_every_source_that_is_named_here():
    for source in downloads.SOURCES.values():
        assert all(url.startswith("http") for url in downloads._urls(source))


@pytest.mark.parametrize("variable", [False, True])
def test_a_named_folder_must_exist(tmp_path, monkeypatch, variable):
    monkeypatch.setenv("ELBOSWEEP_DATA", str(tmp_path / "nowhere") if variable else "")
    with pytest.raises(ConfigError, match=r"(--data-dir|ELBOSWEEP_DATA): must be an existing folder, got .*nowhere"):
        images.load(DataConfig(name="mnist"), data_dir=None if variable else tmp_path / "nowhere")


# --- one's own images -----------------------------------------------------------------------------------------------


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
        ({"images": GOOD, "full_scale": -1}, "'full_scale' must be one positive number"),
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


# --- devices --------------------------------------------------------------------------------------------------------


def test_to_moves_every_tensor():
    data = images.load(DataConfig(binarization="dynamic"))
    assert data.to("cpu") is data
    moved = data.to("meta")
    tensors = [getattr(moved, field.name) for field in dataclasses.fields(moved)]
    assert {t.device.type for t in tensors if isinstance(t, torch.Tensor)} == {"meta"}
    assert moved.checksum == data.checksum
