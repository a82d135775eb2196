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
from pipeline.probability.distributions import has_closed_form_entropy, has_closed_form_kl


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
        for problem in _inconsistencies(self):
            raise ValueError(problem)
        return self


def fusable(config: TrialConfig) -> bool:
    """Whether `torch.func.vmap` takes the model well: no tensors that are filled by index, no flows of zuko's, no draws
    whose batching is a loop."""
    return config.model.posterior.name == "gaussian" and config.model.prior.name != "flow"


def _inconsistencies(config: TrialConfig) -> list[str]:
    """Rules that tie several keys together, as messages that name rule and value."""
    posterior, prior = config.model.posterior.name, config.model.prior.name
    objective, estimator = config.objective, config.gradient.estimator
    problems = []
    if config.training.fused_replicates == "always" and not fusable(config):
        problems.append(
            "training.fused_replicates 'always' needs model.posterior 'gaussian' and a model.prior other than 'flow', "
            f"got {posterior!r} with {prior!r}"
        )
    needs_closed_form = objective.name == "elbo" and config.kl.estimator in ("closed_form", "control_variate")
    if needs_closed_form and not has_closed_form_kl(posterior, prior):
        problems.append(
            f"kl.estimator {config.kl.estimator!r} needs a closed-form KL, and there is none for "
            f"model.posterior {posterior!r} with model.prior {prior!r}; use 'monte_carlo'"
        )
    draws = objective.num_samples * getattr(objective, "num_importance_samples", 1)
    if objective.sampling == "sobol" and draws & (draws - 1):
        problems.append(
            f"objective.num_samples must be a power of two with objective.sampling 'sobol', got {draws} draws"
        )
    if objective.sampling == "antithetic" and draws % 2:
        problems.append(f"objective.num_samples must be even with objective.sampling 'antithetic', got {draws} draws")
    if config.kl.estimator == "cross_entropy" and objective.name == "elbo" and not has_closed_form_entropy(posterior):
        problems.append(
            "kl.estimator 'cross_entropy' needs a closed-form entropy, and there is none for "
            f"model.posterior {posterior!r}; use 'monte_carlo'"
        )
    if config.kl.estimator == "control_variate" and objective.name == "elbo" and draws < 2:
        problems.append(
            "kl.estimator 'control_variate' needs at least 2 draws to fit its coefficient, "
            f"got objective.num_samples {draws}"
        )
    if estimator == "dreg" and objective.name != "iwae":
        problems.append(f"gradient.estimator 'dreg' needs objective 'iwae', got {objective.name!r}")
    if estimator == "stl" and objective.name != "elbo":
        problems.append(
            "gradient.estimator 'stl' needs objective 'elbo' (elsewhere it is biased; use 'dreg'), "
            f"got {objective.name!r}"
        )
    elif estimator == "stl" and config.kl.estimator not in ("monte_carlo", "control_variate"):
        problems.append(
            "gradient.estimator 'stl' leaves out the score of a sampled log q(z|x), so it needs kl.estimator "
            f"'monte_carlo' or 'control_variate', got {config.kl.estimator!r}"
        )
    if estimator in ("dreg", "score_function") and objective.sampling != "iid":
        problems.append(
            f"gradient.estimator {estimator!r} is biased unless the draws are independent: it needs "
            f"objective.sampling 'iid', got {objective.sampling!r}"
        )
    if estimator == "score_function" and draws < 2:
        problems.append(
            "gradient.estimator 'score_function' needs at least 2 draws for its leave-one-out baseline, "
            f"got objective.num_samples {draws}"
        )
    binarised = config.data.binarization != "none"
    if (config.model.likelihood.name == "bernoulli") != binarised:
        problems.append(
            "model.likelihood 'bernoulli' and data.binarization 'static' or 'dynamic' go together, got "
            f"{config.model.likelihood.name!r} with {config.data.binarization!r}"
        )
    return problems
