from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Bernoulli, Categorical, Normal

from pipeline.model.likelihoods import BernoulliLikelihood, CategoricalLikelihood, GaussianLikelihood

SHAPE = (2, 3)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def logits(*batch: int, classes: int = 5, size: float = 2.0) -> Tensor:
    return size * torch.randn(*batch, 6, classes, generator=rng(), dtype=torch.float64)


def test_categorical_is_torchs_categorical_summed_over_pixels() -> None:
    parameters = logits(4, 3)
    x = torch.randint(5, (3, *SHAPE), generator=rng(1)).to(torch.uint8)
    ours = CategoricalLikelihood(SHAPE, 5)(parameters)
    theirs = Categorical(logits=parameters).log_prob(x.flatten(-2).long()).sum(-1)
    torch.testing.assert_close(ours.log_prob(x), theirs)
    levels = torch.arange(5) / 4
    torch.testing.assert_close(ours.mean, (parameters.softmax(-1) * levels).sum(-1).unflatten(-1, SHAPE))


def test_bernoulli_is_torchs_bernoulli_summed_over_pixels() -> None:
    parameters = logits(4, 3, classes=1)
    x = torch.randint(2, (3, *SHAPE), generator=rng(1)).to(torch.uint8)
    ours = BernoulliLikelihood(SHAPE)(parameters)
    theirs = Bernoulli(logits=parameters.squeeze(-1))
    torch.testing.assert_close(ours.log_prob(x), theirs.log_prob(x.flatten(-2).double()).sum(-1))
    torch.testing.assert_close(ours.mean, theirs.mean.unflatten(-1, SHAPE))


def test_gaussian_takes_levels_or_the_grey_values_they_stand_for() -> None:
    parameters = logits(4, 3, classes=1)
    x = torch.randint(16, (3, *SHAPE), generator=rng(1)).to(torch.uint8)
    ours = GaussianLikelihood(SHAPE, 16, scale=0.3, learn_scale=False).double()(parameters)
    theirs = Normal(parameters.squeeze(-1), 0.3).log_prob(x.flatten(-2) / 15).sum(-1)
    torch.testing.assert_close(ours.log_prob(x), theirs, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(ours.log_prob(x), ours.log_prob(x.double() / 15))


@pytest.mark.parametrize("learn_scale", [True, False])
def test_gaussian_scale(learn_scale: bool) -> None:
    likelihood = GaussianLikelihood(SHAPE, 16, scale=0.25, learn_scale=learn_scale)
    assert float(likelihood.scale.detach()) == pytest.approx(0.25)
    assert len(list(likelihood.parameters())) == learn_scale
    assert "log_scale" in likelihood.state_dict()


@pytest.mark.parametrize("num_pixels", [64, 784])
def test_zero_logits_are_uniform(num_pixels: int) -> None:
    side = math.isqrt(num_pixels)
    p = CategoricalLikelihood((side, side), 16)(torch.zeros(num_pixels, 16))
    assert float(p.log_prob(torch.zeros(side, side, dtype=torch.uint8))) == pytest.approx(-num_pixels * math.log(16))


@pytest.mark.parametrize("classes", [1, 7])
def test_logits_of_ten_thousand_are_finite_with_finite_gradients(classes: int) -> None:
    parameters = (1e4 * torch.sign(logits(2, classes=classes))).float().requires_grad_()
    likelihood = BernoulliLikelihood(SHAPE) if classes == 1 else CategoricalLikelihood(SHAPE, classes)
    p = likelihood(parameters)
    log_prob = p.log_prob(torch.ones(2, *SHAPE, dtype=torch.uint8))
    log_prob.sum().backward()
    assert log_prob.isfinite().all()
    assert parameters.grad is not None
    assert parameters.grad.isfinite().all()
    assert p.mean.isfinite().all()


def test_draws_have_the_pixels_probabilities() -> None:
    parameters = logits(1, classes=4, size=1.0)
    p = CategoricalLikelihood(SHAPE, 4)(parameters.expand(20_000, -1, -1))
    draws = p.sample(rng(2))
    assert draws.dtype == torch.uint8
    assert draws.shape == (20_000, *SHAPE)
    shares = torch.stack([(draws == level).double().mean(0) for level in range(4)], dim=-1).flatten(0, 1)
    assert (shares - parameters[0].softmax(-1)).abs().max() < 5 * math.sqrt(0.25 / 20_000)


@pytest.mark.parametrize("kind", ["bernoulli", "gaussian"])
def test_draws_have_the_mean_and_come_from_the_generator_alone(kind: str) -> None:
    gaussian = GaussianLikelihood(SHAPE, 16, 0.5, False).double()
    p = (BernoulliLikelihood(SHAPE) if kind == "bernoulli" else gaussian)(logits(1, classes=1).expand(20_000, -1, -1))
    state = torch.get_rng_state()
    draws = p.sample(rng(3)).double()
    assert (draws.mean(0) - p.mean[0]).abs().max() < 5 * 0.5 / math.sqrt(20_000)
    assert torch.equal(draws, p.sample(rng(3)).double())
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("kind", ["categorical", "bernoulli", "gaussian"])
def test_images_broadcast_against_decodings(kind: str) -> None:
    """Prior Monte Carlo scores every image under every decoding."""
    likelihood = {
        "categorical": CategoricalLikelihood(SHAPE, 5),
        "bernoulli": BernoulliLikelihood(SHAPE),
        "gaussian": GaussianLikelihood(SHAPE, 2, 0.5, False).double(),
    }[kind]
    decodings = logits(4, classes=likelihood.num_parameters)
    x = torch.randint(2, (3, *SHAPE), generator=rng(1)).to(torch.uint8)
    table = likelihood(decodings.unsqueeze(1)).log_prob(x)
    assert table.shape == (4, 3)
    for row in range(4):
        for column in range(3):
            torch.testing.assert_close(table[row, column], likelihood(decodings[row]).log_prob(x[column]))
