"""What every sampler must satisfy: the list of configurations depends on the specification alone."""

from __future__ import annotations

from pathlib import Path

from simulated_search import FACTORS, SPACE, simulate

from sweeps.search.plan import Plan
from sweeps.specification.reading import parse
from sweeps.specification.spec import SweepSpec

TRIALS = 10
"""Suggested trials: enough that most suggestions rest on results, few enough for the slowest sampler."""
CLIP = "training.gradient_clip"
CLIPPED = {CLIP: {"float": [0.5, 5.0], "when": {"objective.name": "elbo"}}}
"""A key that exists always, and is searched beside one choice only."""


def specification(name: str, seed: int) -> SweepSpec:
    """Five factorial trials, then a search over keys of every kind and with both kinds of conditions."""
    search = {"sampler": name, "trials": TRIALS, "window": 4, "seed": seed}
    return parse({"name": "search", "factors": FACTORS, "space": SPACE | CLIPPED, "search": search})


def suggested(
    name: str, folder: Path, *, workers: int = 1, crash_after: tuple[int, ...] = (), seed: int = 0
) -> list[Plan]:
    """The trials that a sampler suggests in a sweep of several workers, which end in random order."""
    folder.mkdir(parents=True)
    plans = simulate(specification(name, seed), folder, workers=workers, crash_after=crash_after, seed=workers)
    return [plan for plan in plans if plan.phase == "search"]


def check_same_list(name: str, folder: Path) -> None:
    """The same seed gives the same list, at one worker and at as many as the window allows."""
    alone = suggested(name, folder / "alone")
    for workers in (2, 4):
        assert suggested(name, folder / str(workers), workers=workers) == alone


def check_resumes(name: str, folder: Path) -> None:
    """A sweep that was killed and goes on in a new process suggests what it would have suggested."""
    alone = suggested(name, folder / "alone")
    assert suggested(name, folder / "crashed", workers=3, crash_after=(2, 6, 11)) == alone


def check_uses_its_seed(name: str, folder: Path) -> None:
    """Another seed gives another list, and no trial of a list is that of another."""
    lists = [suggested(name, folder / str(seed), seed=seed) for seed in (0, 1)]
    rates = [[plan.overrides["training.learning_rate"] for plan in plans] for plans in lists]
    assert rates[0] != rates[1]
    assert all(len(set(values)) == TRIALS for values in rates)


def check_conditions(name: str, folder: Path) -> None:
    """A key is suggested where its choice or its `when` lets it exist, and nowhere else."""
    plans = suggested(name, folder / "alone")
    objectives = {plan.overrides["objective.name"] for plan in plans}
    assert objectives == {"elbo", "iwae"}, "the conditions were not tried both ways"
    for plan in plans:
        importance_weighted = plan.overrides["objective.name"] == "iwae"
        assert ("objective.num_importance_samples" in plan.overrides) == importance_weighted
        assert (CLIP in plan.overrides) == (not importance_weighted)


CHECKS = (check_same_list, check_resumes, check_uses_its_seed, check_conditions)
