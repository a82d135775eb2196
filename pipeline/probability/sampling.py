"""Noise and seeds: every reparameterised draw starts from standard normal noise made here."""

from __future__ import annotations

import zlib

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.probability.names import Scheme
from pipeline.probability.schemes.registry import SCHEMES
from pipeline.probability.tensors import Device


def draw(
    scheme: Scheme,
    num_samples: int,
    batch: int,
    dim: int,
    *,
    generator: torch.Generator,
    dtype: torch.dtype = torch.float32,
    device: Device = "cpu",
) -> Float[Tensor, "sample batch dim"]:
    """Standard normal noise, `num_samples` draws for each of `batch` images.

    Args:
        scheme: how the draws of one image depend on each other (`pipeline/probability/schemes`).
        generator: The only source of randomness; it lives on `device`.

    Raises:
        ValueError: a size below 1, or a number of draws that the scheme does not allow (odd antithetic ones).
    """
    for name, size in (("num_samples", num_samples), ("batch", batch), ("dim", dim)):
        if size < 1:
            raise ValueError(f"{name} must be at least 1, got {size}")
    if scheme not in SCHEMES:
        raise ValueError(f"sampling must be one of {', '.join(map(repr, SCHEMES))}, got {scheme!r}")
    kind = SCHEMES[scheme]
    if not kind.allows(num_samples):
        raise ValueError(f"num_samples must be {kind.sizes} with sampling {scheme!r}, got {num_samples}")
    return kind.noise(num_samples, batch, dim, generator=generator, dtype=dtype, device=device)


def replicate_seed(seed: int, replicate: int, purpose: str) -> int:
    """The seed of one stream ("init", "training", "evaluation", ...) of one replicate, below 2^63.

    Streams of different replicates or purposes are independent of each other (numpy's SeedSequence), so a further
    replicate, or a longer training, changes no other number.
    """
    sequence = np.random.SeedSequence(seed, spawn_key=(replicate, zlib.crc32(purpose.encode())))
    return int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1))


def trial_seed(seed: int, replicate: int, purpose: str, config_hash: str) -> int:
    """As `replicate_seed`, of a stream that differs by configuration as well.

    Replicates of different trials start training from the same seed, which compares configurations on equal terms. What
    is measured of the draws themselves must not share them: trials would then agree, or miss, together.

    Args:
        config_hash: of the trial's configuration without its seeds (`pipeline.config.config_hash`): hexadecimal.
    """
    words = [int(config_hash[start : start + 8], 16) for start in range(0, len(config_hash), 8)]
    sequence = np.random.SeedSequence(seed, spawn_key=(replicate, zlib.crc32(purpose.encode()), *words))
    return int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1))
