"""The tree of a trial's configuration: its sections and keys, each checked by itself."""

from __future__ import annotations

from pydantic import Field

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


class TrialTree(Frozen):
    """The keys of one trial; how they fit together is checked by `TrialConfig`."""

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
