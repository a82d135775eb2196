"""Sobol nets under nested uniform scrambling."""

from __future__ import annotations

import math
from functools import lru_cache

from pipeline.probability.schemes.scheme import SamplingScheme
from pipeline.probability.tensors import Device, DType, Float, Generator, Tensor


class Sobol(SamplingScheme):
    """A scrambled net for each image (Owen 1995, 1997)."""

    name = "sobol"
    label = "scrambled Sobol"
    nets = True
    sizes = "a power of two"
    sizes_of_a_study = "powers of two"

    def allows(self, num_samples: int) -> bool:
        return num_samples & (num_samples - 1) == 0

    def group(self, largest: int) -> int:
        return largest

    def noise(
        self,
        num_samples: int,
        batch: int,
        dim: int,
        *,
        generator: Generator,
        dtype: DType,
        device: Device,
    ) -> Float[Tensor, "sample batch dim"]:
        import torch

        normal: Tensor = torch.special.ndtri(_scrambled_net(num_samples, batch, dim, generator, device))
        return normal.to(dtype)


def _scrambled_net(
    num_samples: int, batch: int, dim: int, generator: Generator, device: Device
) -> Float[Tensor, "sample batch dim"]:
    """Points in (0, 1), independent for every image and dimension.

    The first 2^m points of a Sobol sequence have one point in each interval [i, i+1) / 2^m of each coordinate. Owen's
    scrambling flips bit r of a coordinate by a fair coin that belongs to the r bits before it; after m bits every point
    is alone in its node, so its other bits are fair and independent: a uniform place within the interval.
    """
    import torch

    shape = (num_samples, batch, dim)
    interval = _intervals(num_samples, dim).to(device)
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
def _intervals(num_samples: int, dim: int) -> Tensor:
    """The interval of each point of the unscrambled net, an integer [sample, dim] below `num_samples`."""
    import torch

    points = torch.quasirandom.SobolEngine(dim).draw(num_samples, dtype=torch.float64)
    return (points * num_samples).long()
