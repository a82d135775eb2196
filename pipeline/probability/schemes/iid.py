"""Independent draws."""

from __future__ import annotations

from pipeline.probability.kl.estimator import Parts
from pipeline.probability.schemes.scheme import SamplingScheme
from pipeline.probability.tensors import Device, DType, Float, Generator, Tensor


class Independent(SamplingScheme):
    """Plain Monte Carlo: the variance of an average over L draws is that of one draw over L."""

    name = "iid"
    label = "i.i.d."
    independent = True

    def variance(self, parts: Parts, num_samples: int) -> Float[Tensor, "*batch"]:
        return parts.total / num_samples

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

        return torch.randn(num_samples, batch, dim, generator=generator, dtype=dtype, device=device)
