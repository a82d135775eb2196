"""What changes in the course of a training: the weight of the KL term."""

from __future__ import annotations

import pytest
from small_training import small_training

from pipeline.training.schedules import kl_weight


@pytest.mark.parametrize(
    ("objective", "progress", "weight"),
    [
        ({"beta": 2.0}, 0.0, 2.0),
        ({"beta": 2.0, "kl_warmup_epochs": 4}, 0.0, 0.0),
        ({"beta": 2.0, "kl_warmup_epochs": 4}, 1.5, 0.75),
        ({"beta": 2.0, "kl_warmup_epochs": 4}, 9.0, 2.0),
        ({"name": "iwae"}, 0.0, 1.0),
    ],
)
def test_kl_weight_rises_linearly_to_beta(objective, progress, weight):
    assert kl_weight(small_training(objective=objective), progress) == weight
