"""Omniglot's archives of handwritten characters, as the small grey images that the VAE literature uses."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.config import ConfigError


def read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images [image, 28, 28], white strokes on black, averaged down from 105 x 105; and labels, one a character.

    Raises:
        ConfigError: the archive cannot be read, or holds no image.
    """
    images, labels = [], []
    characters: dict[str, int] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for name in sorted(n for n in archive.namelist() if n.endswith(".png")):
                with Image.open(io.BytesIO(archive.read(name))) as picture:
                    small = picture.convert("L").resize((28, 28), Image.Resampling.BOX)
                images.append(255 - np.asarray(small, dtype=np.uint8))
                labels.append(characters.setdefault(name.rpartition("/")[0], len(characters)))
    except (OSError, zipfile.BadZipFile) as error:
        raise ConfigError(f"data.name: {path}: cannot be read: {error}") from None
    if not images:
        raise ConfigError(f"data.name: {path}: holds no .png file")
    return np.stack(images), np.asarray(labels)
