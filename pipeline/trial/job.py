"""One trial to be computed: what to do, on which images, in which folder, on which device."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from pipeline.config import ConfigError, TrialConfig
from pipeline.data import images
from pipeline.data.images import ImageData
from pipeline.model.vae import MAX_DECODES


@dataclass(frozen=True)
class Job:
    """A resolved configuration with everything that its computation needs."""

    config: TrialConfig
    data: ImageData
    """The images, on the device."""
    folder: Path
    """The trial's."""
    device: str
    max_decodes: int | None = None
    """Images encoded or decoded at once, where memory ran out (None: as many as the code asks for)."""

    def with_less_memory(self) -> Job:
        """The same trial with half as many images at once."""
        return replace(self, max_decodes=(self.max_decodes or MAX_DECODES) // 2)


def prepare(
    config: TrialConfig,
    folder: Path,
    *,
    device: str,
    data: ImageData | None = None,
    data_dir: Path | None = None,
    threads: int | None = None,
) -> Job:
    """Set torch's threads, check the device, and bring the images to it (loaded from `data_dir` unless given).

    Raises:
        ConfigError: the number of threads is below 1, torch cannot use the device, or the images are missing.
    """
    if threads is not None:
        if threads < 1:
            raise ConfigError(f"threads must be at least 1, got {threads}")
        torch.set_num_threads(threads)
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(
            f"device must be one that torch can use, got {device!r}: {str(error).splitlines()[0]}"
        ) from None
    data = images.load(config.data, data_dir) if data is None else data
    return Job(config, data.to(device), folder, device)
