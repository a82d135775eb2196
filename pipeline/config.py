"""The configuration of one trial: a frozen tree, checked completely when it is read.

Every leaf has one dotted name (`model.latent_dim`) from the YAML file to the axis of a figure. Options that only make
sense for one choice live inside that choice (`objective.num_importance_samples` exists for `iwae` alone).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pipeline.distributions import has_closed_form_entropy, has_closed_form_kl

Width = Annotated[int, Field(ge=1, le=65536)]


class ConfigError(ValueError):
    """Bad input: the message is one line per problem, and names key, rule and value."""


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)


# --- data -----------------------------------------------------------------------------------------------------------

DATASETS = ("digits", "mnist", "fashion_mnist", "kmnist", "emnist_digits", "omniglot")


class DataConfig(Frozen):
    name: str = "digits"
    """One of DATASETS, or `npz:PATH`."""
    levels: int = Field(16, ge=2, le=256)
    """Grey levels that the images are quantised to."""
    binarization: Literal["none", "static", "dynamic"] = "none"
    """Pixels drawn as Bernoulli(grey value): once (`static`) or anew in every epoch (`dynamic`; evaluation stays fixed)."""
    split_seed: int = Field(0, ge=0)
    train_images: int | None = Field(None, ge=1)
    """Use only the first so many training images (None: all)."""

    @model_validator(mode="after")
    def _known_name(self) -> Self:
        if self.name not in DATASETS and not self.name.startswith("npz:"):
            raise ValueError(f"name must be one of {', '.join(DATASETS)} or npz:PATH, got {self.name!r}")
        return self


# --- model ----------------------------------------------------------------------------------------------------------


class MLPConfig(Frozen):
    name: Literal["mlp"] = "mlp"
    hidden: tuple[Width, ...] = Field((256, 256), min_length=1, max_length=16)


class CNNConfig(Frozen):
    name: Literal["cnn"] = "cnn"
    channels: int = Field(32, ge=1, le=1024)


class LinearConfig(Frozen):
    name: Literal["linear"] = "linear"


class GaussianPosterior(Frozen):
    name: Literal["gaussian"] = "gaussian"


class FullGaussianPosterior(Frozen):
    name: Literal["full_gaussian"] = "full_gaussian"


class LaplacePosterior(Frozen):
    name: Literal["laplace"] = "laplace"


class FlowPosterior(Frozen):
    name: Literal["flow"] = "flow"
    transforms: int = Field(2, ge=1, le=64)
    hidden: tuple[Width, ...] = Field((64, 64), min_length=1)
    context: int = Field(64, ge=1, le=65536)
    """Features of the encoder that condition the flow."""
    coupling: bool = True
    """Coupling layers invert in one pass; False: masked autoregressive, whose sampling is `latent_dim` passes."""


class StandardNormalPrior(Frozen):
    name: Literal["standard_normal"] = "standard_normal"


class LaplacePrior(Frozen):
    name: Literal["laplace"] = "laplace"


class MixturePrior(Frozen):
    name: Literal["mixture"] = "mixture"
    components: int = Field(10, ge=1, le=10000)


class VampPrior(Frozen):
    name: Literal["vamp"] = "vamp"
    pseudo_inputs: int = Field(50, ge=1, le=10000)


class FlowPrior(Frozen):
    name: Literal["flow"] = "flow"
    transforms: int = Field(2, ge=1, le=64)
    hidden: tuple[Width, ...] = Field((64, 64), min_length=1)


class CategoricalLikelihood(Frozen):
    name: Literal["categorical"] = "categorical"


class BernoulliLikelihood(Frozen):
    name: Literal["bernoulli"] = "bernoulli"


class GaussianLikelihood(Frozen):
    name: Literal["gaussian"] = "gaussian"
    scale: float = Field(1.0, gt=0)
    learn_scale: bool = False


class ModelConfig(Frozen):
    latent_dim: int = Field(8, ge=1, le=4096)
    network: MLPConfig | CNNConfig | LinearConfig = Field(MLPConfig(), discriminator="name")
    posterior: GaussianPosterior | FullGaussianPosterior | LaplacePosterior | FlowPosterior = Field(
        GaussianPosterior(), discriminator="name"
    )
    prior: StandardNormalPrior | LaplacePrior | MixturePrior | VampPrior | FlowPrior = Field(
        StandardNormalPrior(), discriminator="name"
    )
    likelihood: CategoricalLikelihood | BernoulliLikelihood | GaussianLikelihood = Field(
        CategoricalLikelihood(), discriminator="name"
    )


# --- objective ------------------------------------------------------------------------------------------------------


class ElboObjective(Frozen):
    name: Literal["elbo"] = "elbo"
    num_samples: int = Field(1, ge=1, le=65536)
    """L: draws of z per image in each training step."""
    sampling: Literal["iid", "antithetic", "sobol"] = "iid"
    beta: float = Field(1.0, ge=0)
    kl_warmup_epochs: int = Field(0, ge=0)
    """The KL term's weight rises linearly from 0 to beta over so many epochs."""
    free_bits: float = Field(0.0, ge=0)
    """Nats per latent dimension below which the KL is not penalised (Kingma et al. 2016)."""


class IwaeObjective(Frozen):
    name: Literal["iwae"] = "iwae"
    num_samples: int = Field(1, ge=1, le=65536)
    """L: outer averages of the K-sample bound in each training step."""
    sampling: Literal["iid", "antithetic", "sobol"] = "iid"
    num_importance_samples: int = Field(8, ge=1, le=65536)
    """K: draws inside the logarithm."""


class KLConfig(Frozen):
    estimator: Literal["closed_form", "monte_carlo", "monte_carlo_k3", "cross_entropy", "control_variate"] = "closed_form"


class GradientConfig(Frozen):
    estimator: Literal["pathwise", "stl", "dreg", "score_function"] = "pathwise"


# --- work -----------------------------------------------------------------------------------------------------------


class TrainingConfig(Frozen):
    epochs: int = Field(30, ge=0, le=100000)
    batch_size: int = Field(128, ge=1)
    learning_rate: float = Field(1e-3, gt=0, le=10)
    gradient_clip: float | None = Field(None, gt=0)
    """Largest allowed norm of the gradient (None: not clipped)."""
    precision: Literal["float32", "float64", "bfloat16"] = "float32"
    """bfloat16 is autocast on CUDA; the evaluation always runs in float32 or float64."""


class EvaluationConfig(Frozen):
    """Sizes of what is measured on a trained replicate; 0 switches the optional parts off."""

    num_samples: int = Field(16, ge=1)
    """Draws per image for the reconstruction and the ELBO."""
    num_importance_samples: tuple[Annotated[int, Field(ge=1)], ...] = (1, 8, 64, 512)
    """The K of the bound ladder."""
    max_images: int | None = Field(None, ge=2)
    """Images of the held-out split in the ladder (None: all)."""
    gap_images: int = Field(32, ge=0)
    gap_steps: int = Field(200, ge=1)
    ais_images: int = Field(0, ge=0)
    ais_temperatures: int = Field(200, ge=2)
    ais_chains: int = Field(8, ge=2)
    prior_draws: int = Field(100_000, ge=0)
    prior_images: int = Field(16, ge=2)
    pictures: bool = True


class VarianceConfig(Frozen):
    """Size of the Monte Carlo variance study; `images: 0` switches it off."""

    images: int = Field(128, ge=0)
    draws: int = Field(1024, ge=8)
    num_samples: tuple[Annotated[int, Field(ge=1)], ...] = (1, 2, 4, 8, 16, 32, 64, 128)
    sampling: tuple[Literal["iid", "antithetic", "sobol"], ...] = ("iid", "antithetic", "sobol")
    num_importance_samples: tuple[Annotated[int, Field(ge=1)], ...] = (1, 8, 64)
    gradient_repeats: int = Field(64, ge=0)
    """Repeats of each gradient estimator on one minibatch; 0 switches the gradient study off."""
    gradient_num_samples: tuple[Annotated[int, Field(ge=1)], ...] = (1, 4, 16)
    gradient_images: int = Field(16, ge=1)


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

    NAMES_ITSELF: ClassVar[str] = "trial"

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for problem in _inconsistencies(self):
            raise ValueError(problem)
        return self


def _inconsistencies(config: TrialConfig) -> list[str]:
    """Rules that tie several keys together, as messages that name rule and value."""
    posterior, prior = config.model.posterior.name, config.model.prior.name
    objective, estimator = config.objective, config.gradient.estimator
    problems = []
    if config.kl.estimator in ("closed_form", "control_variate") and objective.name == "elbo":
        if not has_closed_form_kl(posterior, prior):
            problems.append(
                f"kl.estimator {config.kl.estimator!r} needs a closed-form KL, and there is none for "
                f"model.posterior {posterior!r} with model.prior {prior!r}; use 'monte_carlo'"
            )
    draws = objective.num_samples * getattr(objective, "num_importance_samples", 1)
    if objective.sampling == "sobol" and draws & (draws - 1):
        problems.append(f"objective.num_samples must be a power of two with objective.sampling 'sobol', got {draws} draws")
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


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML mapping, read with the safe loader; every failure is a ConfigError that names the file."""
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: is not valid YAML: {' '.join(str(error).split())}") from None
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: must be a mapping of keys to values, got {type(tree).__name__}")
    return tree


def override(tree: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of `tree` with dotted keys set: `{"model.network.name": "cnn"}`.

    Setting a choice's `name` to another value drops the options of the choice it replaces; so names are set first.
    """
    merged: dict[str, Any] = json.loads(json.dumps(tree))
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
    """16 hexadecimal digits that name the configuration, its seeds left out: equal hashes are replicates of each other."""
    tree = config.model_dump(mode="json", exclude={"seed", "replicates", "first_replicate"})
    return hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()[:16]


def explain(error: ValidationError, source: str) -> list[str]:
    """pydantic's findings, one line each: source, dotted key, rule, value."""
    lines = []
    for finding in error.errors():
        key = ".".join(str(part) for part in finding["loc"])
        rule = finding["msg"].removeprefix("Value error, ")
        if finding["type"] == "extra_forbidden":
            rule = "unknown key"
        value = finding["input"]
        shown = "" if isinstance(value, (dict, BaseModel)) or "got" in rule else f", got {value!r}"
        lines.append(f"{source}: {key + ': ' if key else ''}{rule}{shown}")
    return lines
