"""Annealed importance sampling: unbiased weights, bounds on both sides of the exact evidence."""

from __future__ import annotations

import math

import pytest
import torch
from exact_models import DOUBLE, make_model, prior_path, rng
from torch import Tensor

from pipeline.config import MLPConfig, ModelConfig, VampPrior
from pipeline.evaluation import annealing
from pipeline.evaluation.evidence import Evidence, importance_bound, posterior_draws, simulate
from pipeline.model.linear_gaussian import LinearGaussian
from pipeline.model.vae import build_vae


@pytest.mark.parametrize("latent_dim", [1, 4])
def test_ais_and_its_reverse_bracket_the_exact_evidence(latent_dim: int) -> None:
    model = make_model(latent_dim, scale=0.5)
    x, z = model.sample(24, rng(1))
    exact = model.log_px(x)
    chains = z.expand(16, -1, -1)
    rough_lower, rough_upper = annealing.bdmc(prior_path(model, x, num_temperatures=6, num_leapfrog=5), chains, rng(2))
    lower, upper = annealing.bdmc(prior_path(model, x, num_temperatures=60, num_leapfrog=5), chains, rng(2))
    assert (lower.direction, upper.direction) == ("lower", "upper")
    # Over images, whose errors are independent: each bound on its own side, and both within the first-order bias of
    # the log of a mean, Var(w) / (2 C p^2).
    for gap, bound in ((exact - lower.value, lower), (upper.value - exact, upper)):
        error = float(gap.std()) / math.sqrt(24)
        bias = float(bound.standard_error.square().mean()) / 2
        assert -4 * error < float(gap.mean()) < 2 * bias + 4 * error
    # More temperatures buy a tighter bracket.
    assert float((upper.value - lower.value).mean()) < float((rough_upper.value - rough_lower.value).mean()) / 2


def test_annealed_weights_are_unbiased_with_few_temperatures() -> None:
    """E w = p(x) however rough the annealing, and E 1/w = 1/p(x) in reverse: many chains, four temperatures."""
    model = make_model(2, scale=2.0)
    x, _ = model.sample(3, rng(1))
    path = prior_path(model, x, num_temperatures=4, num_leapfrog=3)
    chains = 20_000
    posterior = model.posterior(x)
    noise = torch.randn(chains, 3, 2, generator=rng(4), dtype=DOUBLE)
    exact_draws = posterior.loc + (posterior.scale_tril @ noise.unsqueeze(-1)).squeeze(-1)
    lower, upper = annealing.bdmc(path, exact_draws, rng(2))
    for bound in (lower, upper):
        assert float(((bound.value - model.log_px(x)) / bound.standard_error).abs().max()) < 5
        assert float(bound.standard_error.max()) < 0.05


def test_transitions_leave_their_target_invariant() -> None:
    """From exact draws of f_b = N(m_b, S_b), the moments after many transitions are still those of f_b."""
    model = make_model(2, scale=0.5)
    x, _ = model.sample(1, rng(1))
    path = prior_path(model, x, num_leapfrog=4)
    temperature, chains = 0.3, 20_000
    tempered = LinearGaussian(model.weight, model.bias, model.scale / math.sqrt(temperature)).posterior(x)
    noise = torch.randn(chains, 1, 2, generator=rng(2), dtype=DOUBLE)
    point = annealing.evaluate(path, tempered.loc + (tempered.scale_tril @ noise.unsqueeze(-1)).squeeze(-1))
    generator = rng(3)
    step = torch.full((1,), 0.6, dtype=DOUBLE)  # large enough that a tenth is rejected
    for _ in range(5):
        point, acceptance = annealing.transition(path, point, temperature, step, generator)
    assert 0.3 < float(acceptance.mean()) < 0.99
    white = torch.linalg.solve_triangular(tempered.scale_tril, (point.z - tempered.loc).unsqueeze(-1), upper=False)
    white = white.squeeze(-1)[:, 0]
    assert float(white.mean(0).abs().max()) < 5 / math.sqrt(chains)
    assert float((white.square().mean(0) - 1).abs().max()) < 5 * math.sqrt(2 / chains)
    assert float(white.prod(-1).mean().abs()) < 5 / math.sqrt(chains)


def test_step_sizes_follow_the_narrowing_target() -> None:
    model = make_model(2, scale=0.02)
    x, _ = model.sample(4, rng(1))
    path = prior_path(model, x, num_temperatures=100)
    generator = rng(2)
    steps = annealing.tune(path, 16, generator)
    assert steps.shape == (99, 4)
    assert bool((steps[-1] < steps[0] / 5).all())
    posterior = model.posterior(x)
    point = annealing.evaluate(path, posterior.loc.expand(500, -1, -1))
    for _ in range(10):
        point, acceptance = annealing.transition(path, point, 1.0, steps[-1], generator)
    assert 0.6 < float(acceptance.mean()) < 0.99


def test_annealing_from_q_in_its_own_scales() -> None:
    model = make_model(3, scale=0.5)
    x, _ = model.sample(6, rng(1))
    q = model.best_diagonal(x)
    loc, scale = q.base_dist.loc, q.base_dist.scale
    generator = rng(2)

    def draw_q(num: int) -> Tensor:
        return loc + scale * torch.randn(num, *loc.shape, generator=generator, dtype=DOUBLE)

    path = annealing.Path(
        draw_q, q.log_prob, lambda z: model.log_joint(x, z), 20, power=1.0, num_leapfrog=5, scale=scale
    )
    lower = annealing.ais(path, 64, rng(3))
    assert float(((lower.value - model.log_px(x)) / lower.standard_error).abs().max()) < 5
    plain = importance_bound(lambda n: model.log_joint(x, z := draw_q(n)) - q.log_prob(z), 64)
    assert bool((lower.standard_error < plain.standard_error).all())


def test_same_seed_same_numbers_in_float32_too() -> None:
    model = make_model(2)
    x, _ = model.sample(3, rng(1))

    def run() -> Evidence:
        return annealing.ais(prior_path(model, x, num_temperatures=5, num_leapfrog=2), 4, rng(2))

    first, second = run(), run()
    assert torch.equal(first.value, second.value)
    assert first.value.isfinite().all()


def test_annealing_from_any_prior() -> None:
    model = ModelConfig(latent_dim=2, network=MLPConfig(hidden=(8,)), prior=VampPrior(pseudo_inputs=3))
    vae = build_vae(model, image_shape=(3, 3), levels=4, generator=rng(3))
    x = simulate(vae, 3, rng(1))[0]
    lower = annealing.ais(annealing.from_prior(vae, x, rng(4), num_temperatures=10), 32, rng(5))
    bound = importance_bound(posterior_draws(vae, x, rng(2)), 5000)
    error = (lower.standard_error**2 + bound.standard_error**2).sqrt()
    assert float(((lower.value - bound.value) / error).abs().max()) < 5
