"""The rules that tie several options of a trial together, as messages that name rule and value.

What an estimator or a sampling scheme needs is said by its class; here is only how a configuration meets it.
"""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.config.tree import TrialTree
from pipeline.probability.closed_forms import has_closed_form_entropy, has_closed_form_kl
from pipeline.probability.gradients.registry import GRADIENT_ESTIMATORS
from pipeline.probability.kl.registry import KL_ESTIMATORS
from pipeline.probability.schemes.registry import SCHEMES


def problems(config: TrialTree) -> Iterator[str]:
    """What is inconsistent in the configuration, one message each; nothing where all is well."""
    yield from _fusing(config)
    if config.objective.name == "elbo":  # the other objectives have no KL term of their own
        yield from _closed_forms(config)
    yield from _sizes(config)
    yield from _gradient(config)
    yield from _pixels(config)


def fusable(config: TrialTree) -> bool:
    """Whether `torch.func.vmap` takes the model well: no tensors that are filled by index, no flows of zuko's, no draws
    whose batching is a loop."""
    return config.model.posterior.name == "gaussian" and config.model.prior.name != "flow"


def draws_of_step(config: TrialTree) -> int:
    """Draws of z for each image in a training step: L, times K where the objective has one."""
    return config.objective.num_samples * getattr(config.objective, "num_importance_samples", 1)


def _fusing(config: TrialTree) -> Iterator[str]:
    if config.training.fused_replicates == "always" and not fusable(config):
        yield (
            "training.fused_replicates 'always' needs model.posterior 'gaussian' and a model.prior other than 'flow', "
            f"got {config.model.posterior.name!r} with {config.model.prior.name!r}"
        )


def _closed_forms(config: TrialTree) -> Iterator[str]:
    """An estimator's closed forms must exist for the posterior and the prior."""
    posterior, prior = config.model.posterior.name, config.model.prior.name
    estimator = KL_ESTIMATORS[config.kl.estimator]
    if "kl" in estimator.needs and not has_closed_form_kl(posterior, prior):
        yield (
            f"kl.estimator {estimator.name!r} needs a closed-form KL, and there is none for "
            f"model.posterior {posterior!r} with model.prior {prior!r}; use 'monte_carlo'"
        )
    if "entropy" in estimator.needs and not has_closed_form_entropy(posterior):
        yield (
            f"kl.estimator {estimator.name!r} needs a closed-form entropy, and there is none for "
            f"model.posterior {posterior!r}; use 'monte_carlo'"
        )


def _sizes(config: TrialTree) -> Iterator[str]:
    """The number of draws must be one that the sampling scheme has, and enough for the KL estimator."""
    draws, scheme, estimator = (
        draws_of_step(config),
        SCHEMES[config.objective.sampling],
        KL_ESTIMATORS[config.kl.estimator],
    )
    if not scheme.allows(draws):
        yield (
            f"objective.num_samples must be {scheme.sizes} with objective.sampling {scheme.name!r}, got {draws} draws"
        )
    if config.objective.name == "elbo" and draws < estimator.least_draws:
        yield _too_few_draws("kl.estimator", estimator.name, estimator.least_draws, estimator.least_draws_for, draws)


def _gradient(config: TrialTree) -> Iterator[str]:
    """A gradient estimator must be unbiased for the objective, the KL estimator and the sampling scheme."""
    gradient, objective, draws = GRADIENT_ESTIMATORS[config.gradient.estimator], config.objective, draws_of_step(config)
    if objective.name not in gradient.objectives:
        wanted = " or ".join(map(repr, gradient.objectives))
        yield (
            f"gradient.estimator {gradient.name!r} needs objective {wanted}{gradient.elsewhere}, got {objective.name!r}"
        )
    elif objective.name == "elbo" and not gradient.takes(KL_ESTIMATORS[config.kl.estimator]):
        wanted = " or ".join(repr(kl.name) for kl in KL_ESTIMATORS.values() if gradient.takes(kl))
        yield (
            f"gradient.estimator {gradient.name!r} leaves out the score of a sampled log q(z|x), so it needs "
            f"kl.estimator {wanted}, got {config.kl.estimator!r}"
        )
    if gradient.needs_independent_draws and not SCHEMES[objective.sampling].independent:
        wanted = " or ".join(repr(scheme.name) for scheme in SCHEMES.values() if scheme.independent)
        yield (
            f"gradient.estimator {gradient.name!r} is biased unless the draws are independent: it needs "
            f"objective.sampling {wanted}, got {objective.sampling!r}"
        )
    if draws < gradient.least_draws:
        yield _too_few_draws("gradient.estimator", gradient.name, gradient.least_draws, gradient.least_draws_for, draws)


def _too_few_draws(key: str, name: str, least: int, purpose: str, draws: int) -> str:
    return f"{key} {name!r} needs at least {least} draws {purpose}, got objective.num_samples {draws}"


def _pixels(config: TrialTree) -> Iterator[str]:
    binarised = config.data.binarization != "none"
    if (config.model.likelihood.name == "bernoulli") != binarised:
        yield (
            "model.likelihood 'bernoulli' and data.binarization 'static' or 'dynamic' go together, got "
            f"{config.model.likelihood.name!r} with {config.data.binarization!r}"
        )
