"""LeCun's idx format, in which MNIST and its relatives are stored: plain or gzipped, read and never written."""

from __future__ import annotations

import gzip
import math
import struct
from pathlib import Path

import numpy as np

from pipeline.config import ConfigError


def present(path: Path) -> Path | None:
    """The file itself or its .gz, whichever exists; None where neither does."""
    return next((p for p in (path, path.with_name(path.name + ".gz")) if p.is_file()), None)


def read(path: Path) -> np.ndarray:
    """The array of an idx file: two zeros, type (8: unsigned byte), number of dimensions, their sizes, the bytes.

    Raises:
        ConfigError: the file cannot be read, or is damaged.
    """
    file = present(path) or path
    try:
        content = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
    except (OSError, EOFError) as error:
        raise ConfigError(f"data.name: {file}: cannot be read: {error}") from None
    if len(content) < 4 or content[:3] != b"\0\0\x08":
        raise ConfigError(f"data.name: {file}: is not an idx file of unsigned bytes, starts with {content[:4]!r}")
    rank = content[3]
    header = 4 + 4 * rank
    shape = struct.unpack(f">{rank}I", content[4:header]) if len(content) >= header else (0,)
    if len(content) != header + math.prod(shape):
        raise ConfigError(
            f"data.name: {file}: must hold {header + math.prod(shape)} bytes for shape {shape}, got {len(content)}"
        )
    return np.frombuffer(content, dtype=np.uint8, offset=header).reshape(shape)
