"""The configuration of one trial: a frozen tree, checked completely when it is read.

Every leaf has one dotted name (`model.latent_dim`) from the YAML file to the axis of a figure.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import BaseModel, Field, ValidationError, model_validator

from pipeline.distributions import has_closed_form_entropy, has_closed_form_kl
from pipeline.messages import explain
from pipeline.options import (
    BernoulliLikelihood,
    CategoricalLikelihood,
    CNNConfig,
    DataConfig,
    ElboObjective,
    EvaluationConfig,
    FlowPosterior,
    FlowPrior,
    Frozen,
    FullGaussianPosterior,
    GaussianLikelihood,
    GaussianPosterior,
    GradientConfig,
    IwaeObjective,
    KLConfig,
    LaplacePosterior,
    LaplacePrior,
    LinearConfig,
    MixturePrior,
    MLPConfig,
    ModelConfig,
    StandardNormalPrior,
    TrainingConfig,
    VampPrior,
    VarianceConfig,
    spelled_out,
)

# This module is the one door to the configuration, options included.
__all__ = [
    "BernoulliLikelihood",
    "CNNConfig",
    "CategoricalLikelihood",
    "ConfigError",
    "DataConfig",
    "ElboObjective",
    "EvaluationConfig",
    "FlowPosterior",
    "FlowPrior",
    "Frozen",
    "FullGaussianPosterior",
    "GaussianLikelihood",
    "GaussianPosterior",
    "GradientConfig",
    "IwaeObjective",
    "KLConfig",
    "LaplacePosterior",
    "LaplacePrior",
    "LinearConfig",
    "MLPConfig",
    "MixturePrior",
    "ModelConfig",
    "StandardNormalPrior",
    "TrainingConfig",
    "TrialConfig",
    "VampPrior",
    "VarianceConfig",
    "config_hash",
    "flatten",
    "load",
    "override",
    "parse",
    "read_yaml",
    "spelled_out",
]


class ConfigError(ValueError):
    """Bad input: the message is one line per problem, and names key, rule and value."""


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


# --- reading, merging, naming ---------------------------------------------------------------------------------------


def parse(tree: Mapping[str, Any], source: str = "configuration") -> TrialConfig:
    """A tree of plain values -> TrialConfig.

    Raises:
        ConfigError: one line per problem: `source: key: rule, got value`.
    """
    try:
        return TrialConfig.model_validate(dict(tree))
    except ValidationError as error:
        raise ConfigError("\n".join(explain(error, source))) from None


def load(path: Path) -> TrialConfig:
    """Read one trial's YAML file."""
    return parse(read_yaml(path), str(path))


class _Loader(yaml.SafeLoader):
    """YAML's safe loader, for which a key given twice is an error, as in YAML 1.2; pyyaml lets the last one win."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        lines: dict[tuple[str, str], int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            line, name = key.start_mark.line + 1, (key.tag, key.value)
            if name in lines:
                raise yaml.YAMLError(f"key {key.value!r} must be given once, got it on lines {lines[name]} and {line}")
            lines[name] = line
        return node


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML mapping, read with the safe loader; every failure is a ConfigError that names the file."""
    try:
        tree = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
        json.dumps(tree, default=str, skipkeys=True)  # an anchor that contains itself is a tree without an end
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark, said = getattr(error, "problem_mark", None), getattr(error, "problem", None) or error
        where = f"line {mark.line + 1}: " if mark else ""
        raise ConfigError(f"{path}: is not valid YAML: {where}{' '.join(str(said).split())}") from None
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: must be a mapping of keys to values, got {type(tree).__name__}")
    return tree


def override(tree: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of `tree` with dotted keys set: `{"model.network.name": "cnn"}`.

    Setting a choice's `name` to another value drops the options of the choice it replaces; so names are set first.
    """
    merged: dict[str, Any] = json.loads(json.dumps(tree, default=str))  # YAML has dates, a configuration none
    for key, value in sorted(overrides.items(), key=lambda item: not item[0].endswith(".name")):
        *parents, leaf = key.split(".")
        node = merged
        for parent in parents:
            child = node.get(parent)
            node[parent] = node = child if isinstance(child, dict) else {}
        if leaf == "name" and node.get("name", value) != value and parents != ["data"]:
            node.clear()
        node[leaf] = value
    return merged


def flatten(config: BaseModel | Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Dotted leaves, tuples as lists: `{"model.latent_dim": 8, ...}`."""
    tree = config.model_dump(mode="json") if isinstance(config, BaseModel) else config
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        name = f"{prefix}{key}"
        flat.update(flatten(value, f"{name}.") if isinstance(value, Mapping) else {name: value})
    return flat


def config_hash(config: TrialConfig) -> str:
    """16 hexadecimal digits for the configuration without its seeds: equal hashes are replicates of one another."""
    tree = config.model_dump(mode="json", exclude={"seed", "replicates", "first_replicate"})
    return hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()[:16]
