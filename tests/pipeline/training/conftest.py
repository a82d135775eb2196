"""The images that the trainings of this folder share."""

from __future__ import annotations

import pytest

from pipeline.config import DataConfig
from pipeline.data import images
from pipeline.data.images import ImageData


@pytest.fixture(scope="session")
def digits() -> ImageData:
    return images.load(DataConfig(train_images=300))
