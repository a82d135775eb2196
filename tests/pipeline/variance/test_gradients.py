"""The gradient study: exact variances where they are known, and sums that equal the direct computation."""

from __future__ import annotations

import math

import pytest
import torch
from linear_vae import SHAPE, images_of, linear_vae, set_best_posterior

from pipeline.config import VarianceConfig
from pipeline.model.posteriors import LARGEST_LOG_SCALE
from pipeline.probability.gradients.registry import GRADIENT_ESTIMATORS
from pipeline.probability.kl.registry import KL_ESTIMATORS
from pipeline.training.objectives import Elbo, Iwae
from pipeline.variance import gradients
from pipeline.variance.gradients import GradientSums


def config(**changes: object) -> VarianceConfig:
    return VarianceConfig.model_validate(
        {"gradient_repeats": 8, "gradient_num_samples": [1, 8], "gradient_images": 2, **changes}
    )


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_sums_equal_the_direct_computation() -> None:
    draws = 3.0 + torch.randn(40, 7, generator=generator(), dtype=torch.float64)
    sums = GradientSums(8)
    for repeat, gradient in enumerate(draws):
        sums.add(repeat, gradient)

    def direct(kept: torch.Tensor) -> tuple[float, float]:
        trace = float(kept.var(0).sum())
        return trace, math.sqrt((float(kept.mean(0).square().sum()) - trace / len(kept)) / trace)

    trace, ratio = direct(draws)
    left_out = torch.tensor([direct(draws[torch.arange(40) % 8 != group])[1] for group in range(8)])
    signal = sums.signal()
    assert signal.gradient_variance == pytest.approx(trace, rel=1e-9)
    assert signal.signal_to_noise == pytest.approx(ratio, rel=1e-9)
    assert signal.standard_error == pytest.approx(math.sqrt(7 / 8 * float((left_out - left_out.mean()).square().sum())))


def test_signal_to_noise_and_its_error_are_honest() -> None:
    """|E g| = 2, tr Cov = 9 * 4: over many studies the mean is 1/3 and the error is the spread."""
    found = []
    for seed in range(150):
        sums = GradientSums(16)
        for repeat, gradient in enumerate(2 * torch.randn(64, 9, generator=generator(seed), dtype=torch.float64)):
            gradient[0] += 2.0
            sums.add(repeat, gradient)
        found.append(sums.signal())
    ratios = torch.tensor([signal.signal_to_noise for signal in found])
    spread = float(ratios.std())
    assert float(ratios.square().mean()) == pytest.approx(1 / 9, abs=5 * 2 * spread / 3 / math.sqrt(150))
    assert float(torch.tensor([s.standard_error for s in found]).mean()) == pytest.approx(spread, rel=0.25)


def test_pure_noise_has_no_signal() -> None:
    """Without the correction the ratio would be sqrt(1/64) = 0.125."""
    sums = GradientSums(16)
    for repeat, gradient in enumerate(torch.randn(64, 5000, generator=generator(), dtype=torch.float64)):
        sums.add(repeat, gradient)
    assert sums.signal().signal_to_noise < 0.03


def test_sticking_the_landing_has_no_noise_at_the_exact_posterior_and_pathwise_has_the_score() -> None:
    """There d log w / dz = 0, so pathwise noise is the score of q: variance 1 / sigma^2 for loc, 2 for log sigma.

    One image makes the encoder's last layer an outer product with (x, 1).
    """
    vae = linear_vae(2, orthogonal=True)
    exact = set_best_posterior(vae)
    x = images_of(exact, 1)
    stl = gradients.measure(vae, x, Elbo(1, KL_ESTIMATORS["monte_carlo"], GRADIENT_ESTIMATORS["stl"]), 64, generator())
    assert stl["encoder"].gradient_variance < 1e-20
    pathwise = gradients.measure(
        vae, x, Elbo(1, KL_ESTIMATORS["monte_carlo"], GRADIENT_ESTIMATORS["pathwise"]), 1024, generator()
    )
    scale = exact.posterior_precision.diagonal().rsqrt()
    slope = 1 - (scale.log() / LARGEST_LOG_SCALE).square()  # of the head's log scale, tanh' at its feature
    score = (1 / scale.square() + 2 * slope.square()).sum()
    expected = float((x.square().sum() + 1) * score)
    relative_error = math.sqrt((2 + 12) / 1024)  # excess kurtosis of a squared normal: 12
    assert pathwise["encoder"].gradient_variance == pytest.approx(expected, rel=5 * relative_error)
    assert pathwise["encoder"].signal_to_noise < 5 * pathwise["encoder"].standard_error + 0.05


@pytest.mark.parametrize("estimator", ["pathwise", "stl", "score_function"])
def test_variance_falls_as_one_over_the_draws(estimator: str) -> None:
    """The score function's baseline leaves one draw out, which costs it (1 + 1/(L-1)) in the leading term."""
    vae = linear_vae(2)
    exact = set_best_posterior(vae, shift=0.3, stretch=1.5)
    x = images_of(exact, 4)
    few, many = (
        gradients.measure(
            vae, x, Elbo(length, KL_ESTIMATORS["monte_carlo"], GRADIENT_ESTIMATORS[estimator]), 200, generator(length)
        )
        for length in (2, 16)
    )
    for part in ("encoder", "decoder"):
        ratio = few[part].gradient_variance / many[part].gradient_variance
        if estimator == "score_function" and part == "encoder":
            assert 8 < ratio < 24
        else:
            assert ratio == pytest.approx(8, rel=5 * math.sqrt(2 * 8 / 200))


def test_importance_weighting_costs_the_encoder_its_signal_and_dreg_gives_it_back() -> None:
    """Rainforth et al. 2018, Tucker et al. 2019."""
    vae = linear_vae(2)
    exact = set_best_posterior(vae, shift=0.3, stretch=1.2)
    x = images_of(exact, 4)
    ratio = {
        (estimator, inner): gradients.measure(vae, x, Iwae(1, inner, GRADIENT_ESTIMATORS[estimator]), 150, generator())
        for estimator in ("pathwise", "dreg")
        for inner in (1, 64)
    }
    noise = ratio["dreg", 64]["encoder"]
    assert noise.signal_to_noise > 4 * ratio["pathwise", 64]["encoder"].signal_to_noise
    assert ratio["pathwise", 64]["decoder"].signal_to_noise > ratio["pathwise", 1]["decoder"].signal_to_noise


def test_rows_cover_every_estimator_once() -> None:
    rows = gradients.study(linear_vae(), torch.rand(4, *SHAPE, dtype=torch.float64), config(), seed=1)
    names = ("parameters", "estimator", "objective", "num_samples", "num_importance_samples")
    keys = {tuple(row[name] for name in names) for row in rows}
    assert len(keys) == len(rows)
    variants = {key[1:] for key in keys}
    elbo = {("pathwise", 1), ("pathwise", 8), ("pathwise_monte_carlo", 1), ("pathwise_monte_carlo", 8), ("stl", 1)}
    elbo |= {("stl", 8), ("score_function", 8)}
    iwae = {("pathwise", 1), ("pathwise", 8), ("dreg", 1), ("dreg", 8), ("score_function", 8)}
    assert variants == {(name, "elbo", length, None) for name, length in elbo} | {
        (name, "iwae", 1, inner) for name, inner in iwae
    }
    assert all(row["repeats"] == 8 and row["seconds"] > 0 and row["gradient_variance"] > 0 for row in rows)


def test_same_seed_same_numbers_and_parameters_are_left_alone() -> None:
    vae = linear_vae()
    x = torch.rand(4, *SHAPE, dtype=torch.float64)
    before = [parameter.clone() for parameter in vae.parameters()]
    first, again = (gradients.study(vae, x, config(), seed=3) for _ in range(2))
    assert [row["gradient_variance"] for row in first] == [row["gradient_variance"] for row in again]
    assert all(torch.equal(old, new) for old, new in zip(before, vae.parameters(), strict=True))
    assert all(parameter.grad is None for parameter in vae.parameters())


def test_flow_posterior_has_no_closed_form_variant() -> None:
    vae = linear_vae(2, posterior="flow")
    rows = gradients.study(vae, torch.rand(4, *SHAPE, dtype=torch.float64), config(), seed=1)
    assert "pathwise_monte_carlo" not in {row["estimator"] for row in rows}
    assert all(math.isfinite(row["gradient_variance"]) for row in rows)


def test_switched_off() -> None:
    x = torch.rand(4, *SHAPE, dtype=torch.float64)
    assert gradients.study(linear_vae(), x, config(gradient_repeats=0), seed=1) == []
