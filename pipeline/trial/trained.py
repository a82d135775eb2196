"""The VAE of a trained replicate, from the folder of its trial; only beside the images that it was trained on."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from pipeline.config import TrialConfig
from pipeline.data import images
from pipeline.data.images import ImageData
from pipeline.model.vae import VAE
from pipeline.training.replicate import initial_vae
from pipeline.trial import folder as trial_folder


def load_vae(
    folder: Path | str,
    replicate: int | None = None,
    *,
    device: str = "cpu",
    data: ImageData | None = None,
    data_dir: Path | None = None,
) -> VAE:
    """The VAE with the weights that were best on validation images, in evaluation mode.

    >>> vae = load_vae("trials/first")  # the folder of a trained trial
    >>> vae.sample(16, torch.Generator().manual_seed(0)).shape
    torch.Size([16, 8, 8])

    Args:
        folder: the trial's.
        replicate: its number (None: the first).
        device: `cpu`, `cuda` or `cuda:N`.
        data: the images it was trained on, where they are in memory already (else they are loaded, from `data_dir`).

    Raises:
        ConfigError: the folder holds no trial, none of its replicates has this number, or the images are not those of
            training.
    """
    folder = Path(folder)
    config = trial_folder.read_config(folder)
    data = images.load(config.data, data_dir) if data is None else data
    number = config.first_replicate if replicate is None else replicate
    weights, _ = trial_folder.load_best(folder, config, data, number)
    return with_weights(config, data, weights, number, device)


def with_weights(
    config: TrialConfig,
    data: ImageData,
    weights: dict[str, Tensor],
    number: int,
    device: str,
    max_decodes: int | None = None,
) -> VAE:
    """The replicate's VAE with these weights, in evaluation mode; at most `max_decodes` images at once."""
    vae = initial_vae(config, data, number, max_decodes)
    vae.load_state_dict(weights)
    return vae.to(device).eval()
