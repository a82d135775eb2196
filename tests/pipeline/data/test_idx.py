"""LeCun's idx format: any shape, and every kind of damage named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from data_files import idx_bytes

from pipeline.config import ConfigError
from pipeline.data import idx


@pytest.mark.parametrize("shape", [(5,), (3, 4), (2, 3, 4)])
def test_an_array_of_any_rank_comes_back(tmp_path: Path, shape: tuple[int, ...]) -> None:
    array = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    (tmp_path / "file").write_bytes(idx_bytes(array))
    assert np.array_equal(idx.read(tmp_path / "file"), array)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda content: content[:-7], r"must hold 15696 bytes for shape \(20, 28, 28\), got 15689"),
        (lambda content: content[:9], r"must hold 16 bytes for shape \(0,\), got 9"),
        (lambda content: b"<html>" + content, "is not an idx file of unsigned bytes"),
        (lambda content: b"", "is not an idx file of unsigned bytes"),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, damage: Callable[[bytes], bytes], message: str) -> None:
    file = tmp_path / "train-images-idx3-ubyte"
    file.write_bytes(damage(idx_bytes(np.zeros((20, 28, 28), dtype=np.uint8))))
    with pytest.raises(ConfigError, match=message) as caught:
        idx.read(file)
    assert str(file) in str(caught.value)


def test_a_gzip_file_that_was_cut_short_is_named(tmp_path: Path) -> None:
    (tmp_path / "file.gz").write_bytes(b"\x1f\x8b\x08")
    with pytest.raises(ConfigError, match=r"file\.gz: cannot be read"):
        idx.read(tmp_path / "file")
