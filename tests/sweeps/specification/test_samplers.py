"""Every registered sampler passes the conformance suite, and the suite finds samplers that do not deserve it."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest
from conformance.samplers import CHECKS, CLIP, check_conditions, check_resumes, check_same_list, check_uses_its_seed
from optuna.samplers import BaseSampler, RandomSampler

from sweeps.specification.options import SearchConfig
from sweeps.specification.reading import parse
from sweeps.specification.samplers import SAMPLERS, Sampler
from sweeps.specification.spec import SweepSpec

Check = Callable[[str, Path], None]


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("name", SAMPLERS)
def test_conformance(name: str, check: Check, tmp_path: Path) -> None:
    check(name, tmp_path)


def test_the_specification_offers_exactly_what_is_registered() -> None:
    assert get_args(SearchConfig.model_fields["sampler"].annotation) == tuple(SAMPLERS)


@pytest.mark.parametrize("name", SAMPLERS)
def test_several_objectives_are_refused_by_whom_cannot(name: str) -> None:
    search = {"sampler": name, "trials": 2, "objectives": {"validation.elbo": "max", "seconds.training": "min"}}
    tree = {"name": "t", "space": {"model.latent_dim": {"int": [2, 8]}}, "search": search}
    if SAMPLERS[name].several_objectives:
        assert parse(tree).search.sampler == name
    else:
        with pytest.raises(ValueError, match=f"search.sampler: takes one objective, got '{name}' with"):
            parse(tree)


class IgnoresItsSeed(Sampler):
    """Draws anew in every process."""

    def make(self, seed: int, trial_seed: int) -> BaseSampler:
        return RandomSampler(seed=random.SystemRandom().randrange(2**31))


class SeedOfTheSpecificationIgnored(Sampler):
    """The same list whatever `search.seed` says."""

    def make(self, seed: int, trial_seed: int) -> BaseSampler:
        return RandomSampler(seed=0)


class CountsInMemory(Sampler):
    """Goes on with a count that a new process begins again."""

    def __init__(self) -> None:
        self.count = itertools.count()

    def make(self, seed: int, trial_seed: int) -> BaseSampler:
        return RandomSampler(seed=seed + next(self.count))


@pytest.mark.parametrize(
    ("broken", "check"),
    [
        (IgnoresItsSeed, check_same_list),
        (IgnoresItsSeed, check_resumes),
        (SeedOfTheSpecificationIgnored, check_uses_its_seed),
        (CountsInMemory, check_same_list),
    ],
)
def test_the_suite_finds_a_broken_sampler(
    broken: type[Sampler], check: Check, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(SAMPLERS, "random", broken())  # type: ignore[arg-type]
    with pytest.raises(AssertionError):
        check("random", tmp_path)


def test_the_suite_finds_a_key_whose_condition_is_ignored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    active = SweepSpec.active
    monkeypatch.setattr(SweepSpec, "active", lambda spec, key, flat: key == CLIP or active(spec, key, flat))
    with pytest.raises(AssertionError):
        check_conditions("random", tmp_path)
