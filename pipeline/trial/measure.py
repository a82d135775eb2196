"""Everything that is measured on one trained replicate: the bound ladder, the variance study, the gradient study."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import Any

from pipeline.config import TrialConfig
from pipeline.data.images import ImageData
from pipeline.evaluation import evaluate as evaluation
from pipeline.model.vae import VAE
from pipeline.probability.sampling import replicate_seed, trial_seed
from pipeline.variance import gradients
from pipeline.variance import study as variance

Measurement = dict[str, Any]
"""`metrics` (scalars by name), `suspect` (reasons), a list of rows for each of `layout.MEASURED_TABLES`,
`seconds` (by part)."""


def measure(config: TrialConfig, data: ImageData, vae: VAE, number: int, trial: str) -> Measurement:
    """Measure replicate `number` on the test split; its seeds are its own, so a rerun gives the same numbers.

    Args:
        config: sizes of what is measured, and the seed.
        data: the images.
        vae: the trained model.
        number: of the replicate.
        trial: hash of the configuration that was trained (`config_hash`). The draws of the variance and of the gradient
            study differ by it, so that trials are independent there; with other sizes, they stay.
    """
    streams = {part: trial_seed(config.seed, number, part, trial) for part in ("variance", "gradients")}
    marks = [time.perf_counter()]
    evaluated = evaluation.evaluate(
        vae, data.test, config.evaluation, seed=replicate_seed(config.seed, number, "evaluation")
    )
    marks.append(time.perf_counter())
    studied = variance.study(vae, data.test, config.variance, seed=streams["variance"])
    marks.append(time.perf_counter())
    gradient_rows = gradients.study(vae, data.test, config.variance, seed=streams["gradients"])
    marks.append(time.perf_counter())
    label = {"replicate": number}
    return {
        "metrics": {f"test.{name}": value for name, value in evaluated.metrics.items()} | studied.metrics,
        "suspect": [f"replicate {number}: {reason}" for reason in evaluated.suspect],
        "variance": [label | row | {"stream": f"{streams['variance']:016x}"} for row in studied.rows],
        "gradients": [label | row | {"stream": f"{streams['gradients']:016x}"} for row in gradient_rows],
        "evidence": [label | row for row in evaluated.evidence_rows],
        "seconds": dict(
            zip(("evaluation", "variance", "gradients"), (after - before for before, after in pairwise(marks)))
        ),
    }


def total_seconds(measurements: list[Measurement]) -> dict[str, float]:
    """Seconds by part of the work, summed over replicates."""
    return {part: sum(m["seconds"][part] for m in measurements) for part in measurements[0]["seconds"]}
