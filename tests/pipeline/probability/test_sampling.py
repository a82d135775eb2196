from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor
from torch.special import ndtr

from pipeline.probability.names import SCHEME_NAMES
from pipeline.probability.sampling import draw, replicate_seed, trial_seed

MU, SIGMA = 0.5, 0.8
INIT_SEED = 2971966098780739603
VARIANCE_SEED = 6106472543624386009


def noise(
    scheme: str, num_samples: int, batch: int, dim: int, seed: int = 0, dtype: torch.dtype = torch.float64
) -> Tensor:
    return draw(scheme, num_samples, batch, dim, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def k1_of(eps: Tensor) -> Tensor:
    """log q - log p of N(MU, SIGMA^2) against N(0, 1), in terms of the noise."""
    return -np.log(SIGMA) - 0.5 * eps.square() + 0.5 * (MU + SIGMA * eps).square()


def test_antithetic_pairs_are_adjacent() -> None:
    values = noise("antithetic", 6, 3, 2)
    assert torch.equal(values[::2], -values[1::2])
    assert values[::2].unique().numel() == 3 * 3 * 2


@pytest.mark.parametrize("num_samples", [1, 2, 16, 256])
def test_sobol_has_one_draw_in_each_interval_of_each_coordinate(num_samples: int) -> None:
    interval = (ndtr(noise("sobol", num_samples, 5, 4)) * num_samples).floor().long()
    expected = torch.arange(num_samples)[:, None, None].expand_as(interval)
    assert torch.equal(interval.sort(dim=0).values, expected)


@pytest.mark.parametrize("columns", [1, 2, 4, 8, 16])
def test_sobol_fills_every_elementary_box_of_its_first_two_dimensions(columns: int) -> None:
    uniform = ndtr(noise("sobol", 16, 7, 2))
    box = (uniform * torch.tensor([columns, 16 // columns])).floor().long()
    number = box[..., 0] * (16 // columns) + box[..., 1]
    assert torch.equal(number.sort(dim=0).values, torch.arange(16)[:, None].expand(16, 7))


def stratified_variance(num_samples: int) -> float:
    """Exact variance of the mean of k1 over one draw in each of the intervals of probability 1/L."""
    edges = stats.norm.ppf(np.arange(num_samples + 1) / num_samples)
    total = 0.0
    for low, high in itertools.pairwise(edges):
        values = [
            stats.norm.expect(
                lambda e, power=power: k1_of(torch.as_tensor(e)).item() ** power, lb=low, ub=high, conditional=True
            )
            for power in (1, 2)
        ]
        total += values[1] - values[0] ** 2
    return total / num_samples**2


@pytest.mark.parametrize("num_samples", [2, 8, 32])
def test_variance_of_sobol_is_that_of_stratification(num_samples: int) -> None:
    means = k1_of(noise("sobol", num_samples, 40_000, 1)).mean((0, 2))
    deviation = (means - means.mean()).square()
    assert abs(means.var() - stratified_variance(num_samples)) < 5 * deviation.std() / np.sqrt(40_000)


@pytest.mark.parametrize(("scheme", "slope"), [("iid", -1.0), ("sobol", -2.0)])
def test_slope_of_variance_against_draws(scheme: str, slope: float) -> None:
    counts = np.array([8, 16, 32, 64, 128])
    variances = [float(k1_of(noise(scheme, int(n), 4000, 1, seed=int(n))).mean((0, 2)).var()) for n in counts]
    fitted = np.polyfit(np.log(counts), np.log(variances), 1)[0]
    assert fitted == pytest.approx(slope, abs=0.15)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("iid", 0, 1, 1), "num_samples must be at least 1, got 0"),
        (("iid", 1, 0, 1), "batch must be at least 1, got 0"),
        (("iid", 1, 1, -2), "dim must be at least 1, got -2"),
        (("antithetic", 3, 1, 1), "num_samples must be even with sampling 'antithetic', got 3"),
        (("sobol", 12, 1, 1), "num_samples must be a power of two with sampling 'sobol', got 12"),
    ],
)
def test_refusals(arguments: tuple[str, int, int, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        noise(*arguments)


@pytest.mark.parametrize("scheme", SCHEME_NAMES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_generator_is_the_only_randomness(scheme: str, dtype: torch.dtype) -> None:
    state = torch.get_rng_state()
    first, again, other = (noise(scheme, 4, 3, 2, seed, dtype) for seed in (1, 1, 2))
    assert first.dtype == dtype
    assert first.shape == (4, 3, 2)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(state, torch.get_rng_state())


def test_seeds_differ_between_streams_and_stay() -> None:
    streams = itertools.product((0, 1, 2**62), (0, 1, 2), ("init", "training", "evaluation"))
    seeds = [replicate_seed(*stream) for stream in streams]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert replicate_seed(0, 0, "init") == INIT_SEED, "recorded runs would no longer be reproducible"


def test_streams_of_a_trial_differ_by_its_configuration_and_stay() -> None:
    hashes = ("0123456789abcdef", "0123456789abcdee", "1123456789abcdef")
    streams = list(itertools.product((0, 1), (0, 1, 2), ("variance", "gradients"), hashes))
    seeds = [trial_seed(*stream) for stream in streams] + [replicate_seed(*stream[:3]) for stream in streams[::3]]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert seeds == [trial_seed(*stream) for stream in streams] + [
        replicate_seed(*stream[:3]) for stream in streams[::3]
    ]
    assert trial_seed(0, 0, "variance", hashes[0]) == VARIANCE_SEED, "recorded runs would no longer be reproducible"
