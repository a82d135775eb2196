"""Types of tensors for modules that may not import torch (nor jaxtyping, which takes longer than a small command).

Annotations are not evaluated at run time, so these modules only need the names; where torch is loaded already, as in
the tests that check every shape, the names are the real types.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING or "torch" in sys.modules:
    import torch
    from jaxtyping import Float
    from torch import Generator, Tensor
    from torch.distributions import Distribution

    DType = torch.dtype
    Device = str | int | torch.device
else:
    Device = Distribution = DType = Float = Generator = Tensor = Any

__all__ = ["DType", "Device", "Distribution", "Float", "Generator", "Tensor"]
