"""Shapes and types of the science core are checked at run time, in the tests only."""

from __future__ import annotations

import torch
from jaxtyping import install_import_hook

CHECKED = ("sampling", "estimators", "distributions", "likelihoods", "networks", "vae", "objectives")
install_import_hook([f"pipeline.{name}" for name in CHECKED], "beartype.beartype")

# The tests' tensors are small: threads cost more than they bring, and sums must not depend on the machine's cores.
torch.set_num_threads(1)
