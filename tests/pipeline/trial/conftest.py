"""One small trial, trained once for all tests of this folder."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest
from small_trial import small_config

from pipeline.config import DataConfig
from pipeline.data import images
from pipeline.data.images import ImageData
from pipeline.trial import TrialResult, run_trial


class Finished(NamedTuple):
    result: TrialResult
    folder: Path
    reported: list[tuple[int, dict[str, float]]]


@pytest.fixture(scope="session")
def digits() -> ImageData:
    return images.load(DataConfig(train_images=200))


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, digits: ImageData) -> Finished:
    """A whole trial, with what it reported; nobody may write into its folder."""
    folder = tmp_path_factory.mktemp("trial")
    reported: list[tuple[int, dict[str, float]]] = []
    result = run_trial(
        small_config(), folder, data=digits, report=lambda epoch, metrics: reported.append((epoch, metrics))
    )
    return Finished(result, folder, reported)
