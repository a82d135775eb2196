"""What docs/reproductions.md gives as reasons: the measurements behind them, against models with known answers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from linear_vae import images_of, linear_vae, set_best_posterior
from torch.distributions import kl_divergence

from pipeline.evaluation.prior_study import prior_estimates
from pipeline.model.linear_gaussian import standard_normal
from pipeline.model.vae import VAE
from tests.reproductions import prior, why


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_kl_of_the_true_posterior_is_exact_whatever_q() -> None:
    vae = linear_vae(2)
    exact = set_best_posterior(vae, shift=0.05, stretch=1.1)
    x = images_of(exact, 6)
    known = kl_divergence(exact.posterior(x.flatten(1)), standard_normal(2))
    assert why.posterior_kl(vae, x, rng()).tolist() == pytest.approx(known.tolist(), abs=0.03)


def one_dimension() -> VAE:
    """Its q is the exact posterior."""
    vae = linear_vae(1, strength=3.0)
    set_best_posterior(vae)
    return vae


@torch.no_grad()
def test_where_q_is_the_posterior_the_draws_needed_are_those_of_the_model() -> None:
    vae = one_dimension()
    exact = set_best_posterior(vae)
    x = images_of(exact, 8)
    estimates = prior_estimates(vae, x, 20_000, rng(1))
    bias = torch.stack([found.value for found in estimates]) - exact.log_px(x.flatten(1))
    sizes = np.log([found.num_draws for found in estimates])
    for tolerance, kl, draws in why.were_it_q(vae, x, rng(2), 20_000):
        measured = np.median([prior.crossing(sizes, bias[:, image].numpy(), tolerance) for image in range(8)])
        assert draws == pytest.approx(measured, abs=0.3)
        assert kl == pytest.approx(float(kl_divergence(vae.posterior(x), vae.prior()).quantile(0.5)))


@torch.no_grad()
def test_a_net_in_one_dimension_gains_more_than_independent_draws() -> None:
    vae = one_dimension()
    x = images_of(set_best_posterior(vae), 4)
    assert -3.2 < why.sobol_slope(vae, x, torch.tensor([0]), groups=64) < -1.6


@torch.no_grad()
def test_the_bound_without_a_unit_is_that_of_the_model_that_never_sees_it() -> None:
    vae = linear_vae(2, orthogonal=True)
    exact = set_best_posterior(vae)
    x = images_of(exact, 6)
    both = torch.tensor([True, True])
    log_px = float(exact.log_px(x.flatten(1)).mean())
    assert why.bound_of(vae, x, both, draws=4000) == pytest.approx(log_px, abs=0.05)
    first = why.bound_of(vae, x, torch.tensor([True, False]))
    kl = kl_divergence(vae.posterior(x).base_dist, torch.distributions.Normal(0.0, 1.0))[:, 1].mean()  # type: ignore[attr-defined]
    vae.decoder.linear.weight[:, 1] = 0  # type: ignore[union-attr, operator, index]
    assert first == pytest.approx(why.bound_of(vae, x, both) + float(kl))
    assert first < log_px - 0.1


@torch.no_grad()
def test_the_parts_of_a_linear_vaes_loss_add_up_to_what_its_bound_lacks() -> None:
    vae = linear_vae(2)
    exact = set_best_posterior(vae, shift=0.3, stretch=1.2)
    x = images_of(exact, 6).flatten(1)
    losses = why.linear_losses(vae, x, exact.log_px(x) + 1.0)
    bound = exact.elbo(x, vae.posterior(x.reshape(-1, *vae.image_shape))).mean()
    assert losses["all"] == pytest.approx(1.0 + float((exact.log_px(x) - bound).mean()))
    assert losses["decoder: log p(x)"] == pytest.approx(1.0)
    assert losses["posterior is diagonal"] == pytest.approx(exact.diagonal_gap)
    set_best_posterior(vae)
    at_best = why.linear_losses(vae, x, exact.log_px(x))
    assert at_best["all"] == pytest.approx(at_best["posterior is diagonal"])


def test_a_few_smaller_steps_raise_the_bound() -> None:
    vae = linear_vae(2)
    exact = set_best_posterior(vae, shift=0.05)
    x = images_of(exact, 2000)
    before = why.linear_losses(vae, x.flatten(1), exact.log_px(x.flatten(1)))["all"]
    why.train_smaller(vae, x, torch.Generator().manual_seed(0), epochs=20)
    after = why.linear_losses(vae, x.flatten(1), exact.log_px(x.flatten(1)))["all"]
    assert after < before
