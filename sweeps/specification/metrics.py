"""The metrics that trials are compared by and that every epoch reports: their names, said once."""

from __future__ import annotations

QUANTITIES = ("elbo", "reconstruction", "kl", "bits_per_dim")
"""What is measured on each split."""
BY_EPOCH = ("train.", "validation.")
"""Beginnings of the names of metrics that every epoch has."""
METRICS = (
    *(f"{split}{name}" for split in BY_EPOCH for name in QUANTITIES),
    "train.loss",
    *(f"seconds.{part}" for part in ("training", "evaluation", "variance", "gradients", "total")),
)
"""What trials may be compared by, beside VARIANCE."""
VARIANCE = "variance."
"""Beginning of the names of what the Monte Carlo variance study measures."""
JUDGE = "test."
"""Beginning of the names of the split that judges a choice, and so must not make it."""
ON_SCREEN = ("train.elbo", "validation.elbo")
"""What a single trial shows after each epoch."""
