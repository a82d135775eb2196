"""A trial so small that it trains in seconds, with what tests read from its folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pipeline.config import TrialConfig, override, parse
from pipeline.layout import rows_file

TREE: dict[str, Any] = {
    "data": {"train_images": 200},
    "model": {"latent_dim": 2, "network": {"name": "mlp", "hidden": [16]}},
    "training": {"epochs": 3, "batch_size": 64},
    "evaluation": {
        "num_samples": 4,
        "num_importance_samples": [1, 4],
        "max_images": 24,
        "gap_images": 2,
        "gap_steps": 5,
        "prior_draws": 100,
        "prior_images": 2,
    },
    "variance": {
        "images": 8,
        "draws": 64,
        "num_samples": [1, 2, 4],
        "num_importance_samples": [1],
        "gradient_repeats": 8,
        "gradient_num_samples": [1],
        "gradient_images": 4,
    },
    "replicates": 2,
}
BASE = parse(TREE).model_dump(mode="json")


class Interrupted(Exception):
    """What a test's report raises to stop a trial."""


def small_config(**overrides: Any) -> TrialConfig:
    """The small trial with some keys changed: `small_config(model__latent_dim=4)`."""
    return parse(override(BASE, {key.replace("__", "."): value for key, value in overrides.items()}))


def rows_of(folder: Path, table: str) -> list[dict[str, Any]]:
    """The rows of one of a trial's tables."""
    return [json.loads(line) for line in (folder / rows_file(table)).read_text().splitlines()]


def without_seconds(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows without what the clock says."""
    return [{key: value for key, value in row.items() if "seconds" not in key} for row in rows]
