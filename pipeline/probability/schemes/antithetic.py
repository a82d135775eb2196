"""Pairs of opposite draws."""

from __future__ import annotations

from pipeline.probability.kl.estimator import Parts
from pipeline.probability.schemes.scheme import SamplingScheme
from pipeline.probability.tensors import Device, DType, Float, Generator, Tensor


class Antithetic(SamplingScheme):
    """Pairs (e, -e), adjacent along `sample`: a pair cancels what is odd in the noise and keeps what is even whole."""

    name = "antithetic"
    label = "antithetic"
    sizes = "even"
    sizes_of_a_study = "1 or even"

    def allows(self, num_samples: int) -> bool:
        return num_samples % 2 == 0

    def group(self, largest: int) -> int:
        return 2

    def variance(self, parts: Parts, num_samples: int) -> Float[Tensor, "*batch"] | None:
        if num_samples == 1:
            return parts.total
        return None if parts.even is None else 2 * parts.even / num_samples

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

        half = torch.randn(num_samples // 2, batch, dim, generator=generator, dtype=dtype, device=device)
        return torch.stack((half, -half), dim=1).flatten(0, 1)
