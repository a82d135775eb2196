"""A training so small that it takes a second, and what tests read from it."""

from __future__ import annotations

from typing import Any

from pipeline.config import TrialConfig, flatten, override, parse
from pipeline.data.images import ImageData
from pipeline.training.loop import Training

TREE = {
    "data": {"train_images": 300},
    "model": {"latent_dim": 3, "network": {"name": "mlp", "hidden": [16]}},
    "training": {"epochs": 3, "batch_size": 64},
    "replicates": 2,
}
BASE = parse(TREE).model_dump(mode="json")


def small_training(**sections: Any) -> TrialConfig:
    """The small training with some keys changed: `small_training(training={"epochs": 1})`."""
    return parse(override(BASE, flatten(sections)))


def history(config: TrialConfig, data: ImageData) -> list[dict[str, Any]]:
    """The rows of all epochs and replicates, in the order in which they come."""
    return [row for rows in Training(config, data).run() for row in rows]


def numbers(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Everything in the rows but the clock."""
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]
