"""Diagnostics of weights and of the latent space on cases with a known answer."""

from __future__ import annotations

import math

import pytest
import torch

from pipeline.probability.diagnostics import active_units, aggregate_kl, bits_per_dim, mutual_information, pareto_k


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("shape", [0.3, 0.7, 1.2])
def test_pareto_k_of_pareto_weights(shape: float) -> None:
    uniform = torch.rand(10_000, 4, generator=rng(), dtype=torch.float64)
    fitted = pareto_k(-shape * uniform.log())
    tail = 3 * math.sqrt(10_000)
    assert fitted.tolist() == pytest.approx([shape] * 4, abs=4.5 * (1 + shape) / math.sqrt(tail))


def test_pareto_k_at_its_limits() -> None:
    log_weights = torch.randn(400, 2, 3, generator=rng())
    assert pareto_k(log_weights).shape == (2, 3)
    torch.testing.assert_close(pareto_k(log_weights), pareto_k(log_weights + 5), rtol=1e-4, atol=1e-4)
    assert pareto_k(torch.zeros(100, 2)).isnan().all()
    assert pareto_k(log_weights[:24]).isnan().all()
    assert (pareto_k(1000 * log_weights[:, 0]) == math.inf).all()


def test_active_units() -> None:
    loc = torch.stack((torch.tensor([1.0, -1.0, 0.0]), torch.full((3,), 4.0), torch.tensor([0.0, 0.05, 0.0])), dim=1)
    assert active_units(loc) == 1
    assert active_units(loc, threshold=1e-4) == 2
    with pytest.raises(ValueError, match="at least 2 images, got 1"):
        active_units(loc[:1])


def test_information_of_images_far_apart_is_the_log_of_their_number() -> None:
    log_qz_x, log_pz = torch.tensor([1.0, 2.0]), torch.tensor([-3.0, 0.5])
    log_qz = log_qz_x - math.log(2)  # neither image's posterior reaches the other's
    assert mutual_information(log_qz_x, log_qz).tolist() == pytest.approx([math.log(2)] * 2)
    split = mutual_information(log_qz_x, log_qz) + aggregate_kl(log_qz, log_pz)
    torch.testing.assert_close(split, log_qz_x - log_pz)


def test_bits_per_dim_of_uniform_pixels() -> None:
    assert bits_per_dim(-784 * math.log(16), 784) == pytest.approx(4.0)
    assert float(bits_per_dim(torch.tensor(-543.43), 784)) == pytest.approx(1.0, abs=1e-5)
