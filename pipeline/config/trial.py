"""The configuration of one trial: a frozen tree, checked completely when it is read.

Every leaf has one dotted name (`model.latent_dim`) from the YAML file to the axis of a figure.
"""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from pipeline.config.rules import problems
from pipeline.config.tree import TrialTree


class TrialConfig(TrialTree):
    """One trial: one configuration, trained with `replicates` seeds."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for problem in problems(self):
            raise ValueError(problem)
        return self
