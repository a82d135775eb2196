"""What changes in the course of a training: the weight of the KL term."""

from __future__ import annotations

from pipeline.config import TrialConfig


def kl_weight(config: TrialConfig, progress: float) -> float:
    """beta, reached linearly over the first `kl_warmup_epochs`; `progress` counts epochs, fractions included."""
    objective = config.objective
    if objective.name == "iwae":
        return 1.0
    warmup = objective.kl_warmup_epochs
    return objective.beta * (min(1.0, progress / warmup) if warmup else 1.0)
