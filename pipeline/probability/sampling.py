"""Noise and seeds: every reparameterised draw starts from standard normal noise made here.

The schemes differ only in how the draws of one image depend on each other; each draw alone is N(0, I), and the draws of
different images are independent. So any scheme leaves the mean of an average over draws alone and changes its variance.
"""

from __future__ import annotations

import math
import zlib
from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

Scheme = Literal["iid", "antithetic", "sobol"]
Device = str | int | torch.device


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
        scheme: `iid`; `antithetic`: pairs (e, -e), adjacent along `sample`; `sobol`: a scrambled net for each image.
        generator: The only source of randomness; it lives on `device`.

    Raises:
        ValueError: a size below 1, an odd number of antithetic draws, or a Sobol net whose size is no power of two.
    """
    for name, size in (("num_samples", num_samples), ("batch", batch), ("dim", dim)):
        if size < 1:
            raise ValueError(f"{name} must be at least 1, got {size}")
    if scheme == "iid":
        return torch.randn(num_samples, batch, dim, generator=generator, dtype=dtype, device=device)
    if scheme == "antithetic":
        if num_samples % 2:
            raise ValueError(f"num_samples must be even with sampling 'antithetic', got {num_samples}")
        half = torch.randn(num_samples // 2, batch, dim, generator=generator, dtype=dtype, device=device)
        return torch.stack((half, -half), dim=1).flatten(0, 1)
    if scheme == "sobol":
        normal: Tensor = torch.special.ndtri(_scrambled_sobol(num_samples, batch, dim, generator, device))
        return normal.to(dtype)
    raise ValueError(f"sampling must be one of 'iid', 'antithetic', 'sobol', got {scheme!r}")


def _scrambled_sobol(
    num_samples: int, batch: int, dim: int, generator: torch.Generator, device: Device
) -> Float[Tensor, "sample batch dim"]:
    """Sobol nets under nested uniform scrambling (Owen 1995, 1997), independent for every image and dimension.

    The first 2^m points of a Sobol sequence have one point in each interval [i, i+1) / 2^m of each coordinate. Owen's
    scrambling flips bit r of a coordinate by a fair coin that belongs to the r bits before it; after m bits every point
    is alone in its node, so its other bits are fair and independent: a uniform place within the interval.
    """
    if num_samples & (num_samples - 1):
        raise ValueError(f"num_samples must be a power of two with sampling 'sobol', got {num_samples}")
    shape = (num_samples, batch, dim)
    interval = _sobol_intervals(num_samples, dim).to(device)
    coins = torch.randint(2, shape, generator=generator, device=device)
    bits = num_samples.bit_length() - 1
    scrambled = torch.zeros(shape, dtype=torch.int64, device=device)
    for r in range(bits):
        node = (1 << r) + (interval >> (bits - r))  # the binary tree in heap order: its root is 1
        flip = coins.gather(0, node.unsqueeze(1).expand(shape))
        bit = (interval >> (bits - 1 - r) & 1).unsqueeze(1)
        scrambled = scrambled << 1 | bit ^ flip
    place = torch.rand(shape, generator=generator, dtype=torch.float64, device=device)
    tiny = math.ldexp(1.0, -53)  # keeps the inverse normal CDF finite
    return ((scrambled + place) / num_samples).clamp(tiny, 1 - tiny)


@lru_cache(maxsize=32)
def _sobol_intervals(num_samples: int, dim: int) -> Int[Tensor, "sample dim"]:
    points = torch.quasirandom.SobolEngine(dim).draw(num_samples, dtype=torch.float64)
    return (points * num_samples).long()


def replicate_seed(seed: int, replicate: int, purpose: str) -> int:
    """The seed of one stream ("init", "training", "evaluation", ...) of one replicate, below 2^63.

    Streams of different replicates or purposes are independent of each other (numpy's SeedSequence), so a further
    replicate, or a longer training, changes no other number.
    """
    sequence = np.random.SeedSequence(seed, spawn_key=(replicate, zlib.crc32(purpose.encode())))
    return int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1))
