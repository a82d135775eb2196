"""The factorial part: complete, and spread early."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweeps.search.design import factorial, spread
from sweeps.specification.reading import parse

D = [1, 2, 4, 8, 16, 32]
FACTORS = {"model.latent_dim": D, "kl.estimator": ["closed_form", "monte_carlo"], "objective.num_samples": [1, 4, 16]}


def grid(*sizes: int) -> np.ndarray:
    return np.array(list(itertools.product(*(range(size) for size in sizes))))


@given(st.lists(st.integers(1, 5), min_size=1, max_size=3))
@settings(max_examples=30, deadline=None)
def test_spread_is_a_permutation(sizes: list[int]) -> None:
    cells = grid(*sizes)
    assert sorted(spread(cells)) == list(range(len(cells)))


def test_all_combinations_each_once() -> None:
    cells = factorial(parse({"name": "t", "factors": FACTORS}))
    seen = {tuple(cell[key] for key in FACTORS) for cell in cells}
    assert len(cells) == len(seen) == 36
    assert seen == set(itertools.product(*FACTORS.values()))


def test_the_first_trials_show_the_whole_curve() -> None:
    cells = factorial(parse({"name": "t", "factors": FACTORS}))
    assert {cell["model.latent_dim"] for cell in cells[:6]} == set(D)
    assert {cell["objective.num_samples"] for cell in cells[:3]} == {1, 4, 16}
    assert {cells[0]["model.latent_dim"], cells[1]["model.latent_dim"]} == {1, 32}


@pytest.mark.parametrize("size", [6, 12, 18, 24])
@pytest.mark.parametrize("key", list(FACTORS))
def test_marginals_stay_nearly_balanced(size: int, key: str) -> None:
    counts = Counter(cell[key] for cell in factorial(parse({"name": "t", "factors": FACTORS}))[:size])
    assert max(counts.values()) - min(counts[level] for level in FACTORS[key]) <= 2


def test_the_order_does_not_depend_on_the_run() -> None:
    assert spread(grid(5, 4)) == spread(grid(5, 4))


def test_a_key_that_does_not_exist_beside_a_choice_is_left_out() -> None:
    factors = {"objective.name": ["elbo", "iwae"], "objective.num_importance_samples": [2, 4]}
    cells = factorial(parse({"name": "t", "factors": factors}))
    assert [cell for cell in cells if cell["objective.name"] == "elbo"] == [{"objective.name": "elbo"}]
    assert len(cells) == 3


def test_no_factors_no_cells() -> None:
    spec = parse({"name": "t", "space": {"model.latent_dim": {"int": [1, 2]}}, "search": {"trials": 1}})
    assert factorial(spec) == []
