"""Per-image values -> the scalars of a trial: means over images with standard errors, and reasons where there is none.

A bound that is infinite or not a number on one image has no mean that could be compared; leaving the image out would
flatter the model. So the mean is left out, and the reason says on how many images. Pareto k is no bound but a
diagnosis: images without a tail to fit have none, and the others are counted.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.evaluation.ladder import mean_over_images
from pipeline.probability.diagnostics import bits_per_dim

Values = Mapping[str, Float[Tensor, " image"]]

UNRELIABLE_K = 0.7
"""Pareto k above which an importance-weighted estimate is not to be trusted (Vehtari et al. 2024)."""


class Summary(NamedTuple):
    """Scalars by name, and why others are missing."""

    metrics: dict[str, float]
    reasons: list[str]


def means(values: Values) -> Summary:
    """Means over images with `NAME.standard_error` (none for one image); none of values that are not all finite."""
    metrics: dict[str, float] = {}
    reasons = []
    for name, value in values.items():
        broken = int((~value.isfinite()).sum())
        if broken or not value.numel():
            reasons.append(f"{name} is not finite on {broken} of {value.numel()} images")
            continue
        metrics[name], error = mean_over_images(value)
        if value.numel() > 1:
            metrics[f"{name}.standard_error"] = error
    return Summary(metrics, reasons)


def pareto(shapes: Float[Tensor, " image"]) -> dict[str, float]:
    """Median Pareto k, the share of images above 0.7, and the number of images that have a k.

    An image has none where its weights have no tail to fit (fewer than 25 draws, or all equal); infinity, a tail beyond
    double precision, is a k like others, of which a median can be taken and a mean cannot.
    """
    known = shapes[~shapes.isnan()].double()
    metrics = {"pareto_k_images": float(len(known))}
    if not len(known):
        return metrics
    median = statistics.median(known.tolist())
    if median < math.inf:
        metrics["pareto_k"] = median
    return metrics | {"pareto_k_unreliable": float((known > UNRELIABLE_K).double().mean())}


def bits(values: Values, num_pixels: int) -> dict[str, float]:
    """Bounds in bits per dimension: `bits_per_dim` is the ELBO's, those of other rungs carry their name before it."""
    scaled: dict[str, Tensor] = {}
    for name, value in values.items():
        if name in ("elbo", "ais") or name.startswith("iwae_"):
            scaled["bits_per_dim" if name == "elbo" else f"{name}_bits_per_dim"] = torch.as_tensor(
                bits_per_dim(value, num_pixels)
            )
    return means(scaled).metrics
