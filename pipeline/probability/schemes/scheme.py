"""What a sampling scheme is: how the draws of one image depend on each other.

Each draw alone is N(0, I), and the draws of different images are independent, so any scheme leaves the mean of an
average over draws alone and changes its variance.
"""

from __future__ import annotations

from typing import ClassVar

from pipeline.probability.kl.estimator import Parts
from pipeline.probability.tensors import Device, DType, Float, Generator, Tensor


class SamplingScheme:
    """Standard normal noise for several draws of each image, and what is known about averages over them."""

    name: ClassVar[str]
    label: ClassVar[str]
    """Its name in the report."""
    independent: ClassVar[bool] = False
    """Whether all draws of an image are independent of each other."""
    nets: ClassVar[bool] = False
    """Whether draws come as nets: blocks of a larger net are nets themselves, but depend on each other."""
    sizes: ClassVar[str] = "at least 1"
    sizes_of_a_study: ClassVar[str] = "at least 1"
    """The rule for the number of draws, as messages say it; a study takes a single draw under any scheme."""

    def allows(self, num_samples: int) -> bool:
        """Whether the scheme has so many draws for an image."""
        return num_samples >= 1

    def group(self, largest: int) -> int:
        """Consecutive draws that depend on each other, where one call makes `largest` draws."""
        return 1

    def variance(self, parts: Parts, num_samples: int) -> Float[Tensor, "*batch"] | None:
        """Variance of an average over draws, from that of one draw; None where it is not known."""
        return parts.total if num_samples == 1 else None

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
        """Standard normal noise from the generator alone, for a number of draws that the scheme allows."""
        raise NotImplementedError
