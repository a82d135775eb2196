"""The configuration of one trial: a frozen tree, checked completely when it is read.

Every leaf has one dotted name (`model.latent_dim`) from the YAML file to the axis of a figure.
"""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from pipeline.config.options import (
    DataConfig,
    ElboObjective,
    EvaluationConfig,
    Frozen,
    GradientConfig,
    IwaeObjective,
    KLConfig,
    ModelConfig,
    TrainingConfig,
    VarianceConfig,
)
from pipeline.config.rules import problems


class TrialConfig(Frozen):
    """One trial: one configuration, trained with `replicates` seeds."""

    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    objective: ElboObjective | IwaeObjective = Field(ElboObjective(), discriminator="name")
    kl: KLConfig = KLConfig()
    gradient: GradientConfig = GradientConfig()
    training: TrainingConfig = TrainingConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    variance: VarianceConfig = VarianceConfig()
    replicates: int = Field(3, ge=1, le=10000)
    first_replicate: int = Field(0, ge=0)
    """Number of the first replicate: further replicates of a known configuration get new seeds, not the old ones."""
    seed: int = Field(0, ge=0, lt=2**63)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for problem in problems(self):
            raise ValueError(problem)
        return self
