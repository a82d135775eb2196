"""Calibration of the gradient estimators: their means against exact gradients of the ELBO and of the IWAE bound."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from pipeline.calibration.cases import Case, expected_log_mean, linear_case
from pipeline.calibration.rows import Row, mean_row
from pipeline.config import LinearConfig, TrialConfig, parse
from pipeline.probability.gradients.registry import GRADIENT_ESTIMATORS
from pipeline.probability.kl.registry import KL_ESTIMATORS
from pipeline.training.objectives import build_objective

COPIES = 256
"""Copies of each image in one backward pass."""
REPEATS = 40
"""Backward passes of each estimator, whose spread gives the standard error."""


def gradient_rows(generator: torch.Generator) -> list[Row]:
    """Each estimator's gradient of encoder and decoder, along a direction that mixes the exact gradient's with a random
    one: a bias in any direction would show, and so would a wrong length."""
    case = linear_case(1, 4, generator)
    exact_elbo = _gradients(case, elbo_loss(case))
    exact_iwae = _gradients(case, iwae_loss(case, 4))
    rows = []
    for name, kl in elbo_variants():
        config = _trial(name, {"name": "elbo", "num_samples": 4}, kl)
        rows += _rows(f"{name}, {kl}", "ELBO, L = 4", case, config, exact_elbo, generator)
    for gradient in GRADIENT_ESTIMATORS.values():
        if "iwae" in gradient.objectives:
            config = _trial(gradient.name, {"name": "iwae", "num_samples": 2, "num_importance_samples": 4})
            rows += _rows(f"{gradient.name}, iwae", "IWAE, K = 4", case, config, exact_iwae, generator)
    return rows


def elbo_variants() -> list[tuple[str, str]]:
    """Names of gradient and KL estimators: the pathwise gradient of every KL, the other gradients of a closed-form and
    of a sampled KL where they take it."""
    variants = []
    for gradient in GRADIENT_ESTIMATORS.values():
        for kl in KL_ESTIMATORS.values():
            chosen = gradient.name == "pathwise" or kl.name in ("closed_form", "monte_carlo")
            if chosen and "elbo" in gradient.objectives and gradient.takes(kl):
                variants.append((gradient.name, kl.name))
    return variants


def elbo_loss(case: Case) -> Tensor:
    """-ELBO, exact and differentiable in every parameter: quadratic in the noise, so two points have its exact mean."""
    noise = torch.tensor([-1.0, 1.0], dtype=torch.float64).view(2, 1, 1).expand(2, len(case.x), 1)
    objective = build_objective(_trial("pathwise", {"name": "elbo", "num_samples": 2}, "closed_form"))
    return objective(case.vae, case.x, noise).loss


def iwae_loss(case: Case, num_importance_samples: int) -> Tensor:
    """-E L_K, exact and differentiable in every parameter."""
    noise = torch.linspace(-9, 9, 601, dtype=torch.float64)
    log_weights = case.vae.log_weights(case.x, noise.view(-1, 1, 1).expand(-1, len(case.x), 1))
    return -expected_log_mean(log_weights, noise, num_importance_samples).mean()


def _rows(
    name: str, quantity: str, case: Case, config: TrialConfig, exact: dict[str, Tensor], generator: torch.Generator
) -> list[Row]:
    objective = build_objective(config)
    x = case.x.repeat(COPIES, 1, 1)
    directions = {part: _direction(gradient, generator) for part, gradient in exact.items()}
    components: dict[str, list[Tensor]] = {part: [] for part in exact}
    for _ in range(REPEATS):
        noise = torch.randn(objective.num_draws, len(x), 1, generator=generator, dtype=torch.float64)
        for part, gradient in _gradients(case, objective(case.vae, x, noise).loss).items():
            components[part].append(gradient @ directions[part])
    return [
        mean_row(
            f"gradient: {name}",
            f"{part}, {quantity}",
            torch.stack(components[part]),
            exact[part] @ directions[part],
            objective.num_draws * COPIES,
        )
        for part in exact
    ]


def _gradients(case: Case, loss: Tensor) -> dict[str, Tensor]:
    """Flat gradients of encoder and decoder; parameters the loss does not touch have none and are left out."""
    gradients = {}
    parts: dict[str, Callable[[], list[nn.Parameter]]] = {
        "encoder": case.vae.encoder_parameters,
        "decoder": case.vae.decoder_parameters,
    }
    for part, parameters in parts.items():
        of_part = torch.autograd.grad(loss, parameters(), retain_graph=True)
        gradients[part] = torch.cat([gradient.flatten() for gradient in of_part])
    return gradients


def _direction(gradient: Tensor, generator: torch.Generator) -> Tensor:
    random = torch.randn(gradient.shape, generator=generator, dtype=gradient.dtype)
    return nn.functional.normalize(
        nn.functional.normalize(gradient, dim=0) + nn.functional.normalize(random, dim=0), dim=0
    )


def _trial(gradient: str, objective: dict[str, str | int], kl: str = "closed_form") -> TrialConfig:
    model = {"network": LinearConfig().model_dump(), "likelihood": {"name": "gaussian"}, "latent_dim": 1}
    return parse({"model": model, "objective": objective, "kl": {"estimator": kl}, "gradient": {"estimator": gradient}})
