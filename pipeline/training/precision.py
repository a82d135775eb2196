"""The arithmetic of float32 matrix products and convolutions on a CUDA device.

torch's own default is mixed: convolutions in TF32 (10 bits of mantissa), other products in full. Here float32 means
float32 in both, in everything that is measured; TF32 is what a training step may be given.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

NEEDS_CUDA = ("tf32", "bfloat16")


@contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """Products of float32 tensors in TF32, or in full. No effect on a CPU, nor on float64."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = allowed
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before
