"""The options of a trial, one class per choice: names, types, bounds and defaults.

Options that only make sense for one choice live inside that choice (`objective.num_importance_samples` exists for
`iwae` alone); rules that tie several options together are in `rules.py`. The names of estimators and sampling schemes
come from `pipeline.probability.names`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from pipeline.probability.names import (
    GRADIENT_ESTIMATOR_NAMES,
    KL_ESTIMATOR_NAMES,
    SCHEME_NAMES,
    GradientEstimatorName,
    KLEstimatorName,
    Scheme,
)
from pipeline.probability.schemes.registry import SCHEMES

MANY = 10_000_000
"""More images, draws or steps than this are a slip of the pen."""
LARGEST = 1e6
"""Of a weight or a scale, whose least is the inverse: far beyond what makes sense, and float32 squares it safely."""
Width = Annotated[int, Field(ge=1, le=65536)]
Count = Annotated[int, Field(ge=1, le=MANY)]


class Frozen(BaseModel):
    """An immutable section of the configuration: no unknown keys, no NaN, every default checked."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _default_choice(cls, tree: Any) -> Any:
        """A choice without a `name` is the default choice; a plain word is a choice by its name: `network: cnn`."""
        if not isinstance(tree, Mapping):
            return tree
        choices = {key: field.default.name for key, field in cls.model_fields.items() if field.discriminator}
        annotations = {field.alias or key: field.annotation for key, field in cls.model_fields.items()}
        completed = {key: spelled_out(value, annotations.get(key, Any)) for key, value in tree.items()}
        for key in choices.keys() & tree.keys():
            if isinstance(tree[key], str):
                completed[key] = {"name": tree[key]}
            elif isinstance(tree[key], Mapping):
                completed[key] = {"name": choices[key], **tree[key]}
        return completed


def spelled_out(value: Any, annotation: Any) -> Any:
    """`true` for a number, or in a list of them, as the word 'true', which no number accepts.

    Python takes it for 1, and pydantic with it, whatever the writer meant.
    """
    if isinstance(value, (list, tuple)):
        return [spelled_out(item, annotation) for item in value]
    if not isinstance(value, bool):
        return value
    accepted = _kinds(annotation)
    return str(value).lower() if accepted & {int, float} and not accepted & {bool, Any} else value


def _kinds(annotation: Any) -> set[Any]:
    """`tuple[int, ...] | None` -> {int, None, ...}."""
    inner = get_args(annotation)
    if get_origin(annotation) is Literal or not inner:
        return {annotation}
    kinds = inner[:1] if get_origin(annotation) is Annotated else inner
    return set().union(*map(_kinds, kinds))


# --- data -----------------------------------------------------------------------------------------------------------

DATASETS = ("digits", "mnist", "fashion_mnist", "kmnist", "emnist_digits", "omniglot")


class DataConfig(Frozen):
    """Which images, how many grey levels they have, and how they are split."""

    name: str = "digits"
    """One of DATASETS, or `npz:PATH`."""
    levels: int = Field(16, ge=2, le=256)
    """Grey levels that the images are quantised to."""
    binarization: Literal["none", "static", "dynamic"] = "none"
    """Pixels drawn as Bernoulli(grey value): once (`static`) or anew in every epoch (`dynamic`, in training only)."""
    split_seed: int = Field(0, ge=0, lt=2**63)
    train_images: int | None = Field(None, ge=1, le=MANY)
    """Use only the first so many training images (None: all)."""

    @model_validator(mode="after")
    def _known_name(self) -> Self:
        if self.name not in DATASETS and not self.name.startswith("npz:"):
            raise ValueError(f"name must be one of {', '.join(DATASETS)} or npz:PATH, got {self.name!r}")
        return self


# --- model ----------------------------------------------------------------------------------------------------------


class MLPConfig(Frozen):
    """Fully connected encoder and decoder."""

    name: Literal["mlp"] = "mlp"
    hidden: tuple[Width, ...] = Field((256, 256), min_length=1, max_length=16)


class CNNConfig(Frozen):
    """Convolutional encoder and decoder."""

    name: Literal["cnn"] = "cnn"
    channels: int = Field(32, ge=1, le=1024)


class LinearConfig(Frozen):
    """One affine map each way: the model is then probabilistic PCA, with a Gaussian likelihood."""

    name: Literal["linear"] = "linear"


class GaussianPosterior(Frozen):
    """q(z|x) with independent Gaussian dimensions."""

    name: Literal["gaussian"] = "gaussian"


class FullGaussianPosterior(Frozen):
    """q(z|x) Gaussian with a full covariance matrix."""

    name: Literal["full_gaussian"] = "full_gaussian"


class LaplacePosterior(Frozen):
    """q(z|x) with independent Laplace dimensions."""

    name: Literal["laplace"] = "laplace"


class FlowPosterior(Frozen):
    """q(z|x) as a normalising flow."""

    name: Literal["flow"] = "flow"
    transforms: int = Field(2, ge=1, le=64)
    hidden: tuple[Width, ...] = Field((64, 64), min_length=1)
    context: int = Field(64, ge=1, le=65536)
    """Features of the encoder that condition the flow."""
    coupling: bool = True
    """Coupling layers invert in one pass; False: masked autoregressive, whose sampling is `latent_dim` passes."""


class StandardNormalPrior(Frozen):
    """p(z) = N(0, I)."""

    name: Literal["standard_normal"] = "standard_normal"


class LaplacePrior(Frozen):
    """p(z) with independent Laplace(0, 1) dimensions."""

    name: Literal["laplace"] = "laplace"


class MixturePrior(Frozen):
    """p(z) as a mixture of Gaussians with learned components."""

    name: Literal["mixture"] = "mixture"
    components: int = Field(10, ge=1, le=10000)


class VampPrior(Frozen):
    """p(z) as the mean of the posteriors of learned images (Tomczak & Welling 2018)."""

    name: Literal["vamp"] = "vamp"
    pseudo_inputs: int = Field(50, ge=1, le=10000)


class FlowPrior(Frozen):
    """p(z) as a normalising flow."""

    name: Literal["flow"] = "flow"
    transforms: int = Field(2, ge=1, le=64)
    hidden: tuple[Width, ...] = Field((64, 64), min_length=1)


class CategoricalLikelihood(Frozen):
    """Each pixel has a probability for each grey level."""

    name: Literal["categorical"] = "categorical"


class BernoulliLikelihood(Frozen):
    """Each pixel is black or white."""

    name: Literal["bernoulli"] = "bernoulli"


class GaussianLikelihood(Frozen):
    """Each pixel is Gaussian around the decoder's output, with one standard deviation for all, in grey values."""

    name: Literal["gaussian"] = "gaussian"
    scale: float = Field(1.0, ge=1 / LARGEST, le=LARGEST)
    learn_scale: bool = False


class ModelConfig(Frozen):
    """Size of z, and the parts of the model."""

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
    """The evidence lower bound, with its variants beta-VAE, KL warm-up and free bits."""

    name: Literal["elbo"] = "elbo"
    num_samples: int = Field(1, ge=1, le=65536)
    """L: draws of z per image in each training step."""
    sampling: Scheme = SCHEME_NAMES[0]
    beta: float = Field(1.0, ge=0, le=LARGEST)
    kl_warmup_epochs: int = Field(0, ge=0, le=100000)
    """The KL term's weight rises linearly from 0 to beta over so many epochs."""
    free_bits: float = Field(0.0, ge=0, le=LARGEST)
    """Nats per latent dimension below which the KL is not penalised (Kingma et al. 2016)."""


class IwaeObjective(Frozen):
    """The importance-weighted bound (Burda et al. 2016)."""

    name: Literal["iwae"] = "iwae"
    num_samples: int = Field(1, ge=1, le=65536)
    """L: outer averages of the K-sample bound in each training step."""
    sampling: Scheme = SCHEME_NAMES[0]
    num_importance_samples: int = Field(8, ge=1, le=65536)
    """K: draws inside the logarithm."""


class KLConfig(Frozen):
    """How the KL term of the ELBO is estimated."""

    estimator: KLEstimatorName = KL_ESTIMATOR_NAMES[0]


class GradientConfig(Frozen):
    """How the bound's gradient is estimated."""

    estimator: GradientEstimatorName = GRADIENT_ESTIMATOR_NAMES[0]


# --- work -----------------------------------------------------------------------------------------------------------


class TrainingConfig(Frozen):
    """Length, step size and arithmetic of the training."""

    epochs: int = Field(30, ge=0, le=100000)
    """0 measures the model before training: a control."""
    batch_size: int = Field(128, ge=1, le=MANY)
    learning_rate: float = Field(1e-3, gt=0, le=10)
    gradient_clip: float | None = Field(None, gt=0)
    """Largest allowed norm of the gradient (None: not clipped)."""
    precision: Literal["float32", "float64", "tf32", "bfloat16"] = "float32"
    """Of the training steps: tf32 is float32 with products in TF32, bfloat16 is autocast, both on CUDA. Validation and
    evaluation always run in float32 or float64."""
    fused_replicates: Literal["auto", "always", "never"] = "auto"
    """Train the replicates as one stacked model; auto: on CUDA, where the model allows it."""


class EvaluationConfig(Frozen):
    """Sizes of what is measured on a trained replicate; 0 switches the optional parts off."""

    num_samples: int = Field(16, ge=1, le=MANY)
    """Draws per image for the reconstruction and the ELBO."""
    num_importance_samples: tuple[Count, ...] = Field((1, 8, 64, 512), min_length=1)
    """The K of the bound ladder."""
    max_images: int | None = Field(None, ge=2, le=MANY)
    """Images of the held-out split in the ladder (None: all)."""
    gap_images: int = Field(32, ge=0, le=MANY)
    gap_steps: int = Field(200, ge=1, le=MANY)
    ais_images: int = Field(0, ge=0, le=MANY)
    ais_temperatures: int = Field(200, ge=2, le=MANY)
    ais_chains: int = Field(8, ge=2, le=MANY)
    prior_draws: int = Field(100_000, ge=0, le=MANY)
    prior_images: int = Field(16, ge=2, le=MANY)
    pictures: bool = True


class VarianceConfig(Frozen):
    """Size of the Monte Carlo variance study; `images: 0` switches it off."""

    images: int = Field(128, ge=0, le=MANY)
    draws: int = Field(1024, ge=8, le=MANY)
    num_samples: tuple[Count, ...] = Field((1, 2, 4, 8, 16, 32, 64, 128), min_length=1)
    sampling: tuple[Scheme, ...] = SCHEME_NAMES
    num_importance_samples: tuple[Count, ...] = (1, 8, 64)
    gradient_repeats: int = Field(64, ge=0, le=MANY)
    """Repeats of each gradient estimator on one minibatch; 0 switches the gradient study off."""
    gradient_num_samples: tuple[Count, ...] = (1, 4, 16)
    gradient_images: int = Field(16, ge=1, le=MANY)

    @field_validator("gradient_repeats")
    @classmethod
    def _enough_repeats(cls, value: int) -> int:
        if 0 < value < 4:
            raise ValueError("must be 0 or at least 4 (its error needs groups of repeats)")
        return value

    @model_validator(mode="after")
    def _whole_blocks(self) -> Self:
        largest = max(self.num_samples, default=1)
        if self.images and self.draws < 4 * largest:
            raise ValueError(f"draws must be at least 4 times the largest of num_samples ({largest}), got {self.draws}")
        for length in self.num_samples:
            for scheme in reversed(SCHEMES.values()):  # the strictest rule first
                if scheme.name in self.sampling and length > 1 and not scheme.allows(length):
                    rule = f"must be {scheme.sizes_of_a_study} with sampling {scheme.name!r}"
                    raise ValueError(f"num_samples {rule}, got {length}")
        return self
