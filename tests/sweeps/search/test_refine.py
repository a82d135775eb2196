"""Refinement goes where the curve's interval is widest, and ends when it is narrow enough."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from simulated_search import simulate

from sweeps.search.plan import Outcome, Plan
from sweeps.search.planner import Planner
from sweeps.search.refine import Level, levels_between, pooled_scale, widest
from sweeps.specification.reading import parse
from sweeps.specification.spec import SweepSpec

SCALE = 0.5


def curve(at: float) -> float:
    return -100.0 - 4 * (math.log2(at) - 3) ** 2


def levels(**replicates: int) -> list[Level]:
    return [Level(float(name[1:]), curve(float(name[1:])), count) for name, count in replicates.items()]


def test_the_level_with_the_fewest_replicates_is_refined_where_nothing_lies_between() -> None:
    found = widest(levels(d2=8, d4=8, d8=2, d16=8), between=[], scale=SCALE)
    assert found.at == 8
    # The neighbours tell something about the curve at 8 as well: its error is below that of its own replicates alone.
    assert 0 < found.standard_error < SCALE / math.sqrt(2)


def test_a_gap_is_refined_before_well_known_levels() -> None:
    found = widest(levels(d2=8, d4=8, d32=8), between=levels_between(2, 32), scale=0.01)
    assert 4 < found.at < 32


def test_what_is_under_way_counts_without_a_result() -> None:
    known = levels(d2=8, d4=8, d32=8)
    first = widest(known, between=levels_between(2, 32), scale=0.01)
    second = widest([*known, Level(first.at, None, 8)], between=levels_between(2, 32), scale=0.01)
    assert second.at != first.at
    assert second.standard_error < first.standard_error


def test_replicates_narrow_the_interval_at_the_rate_of_their_mean() -> None:
    known = [Level(float(at), curve(at), 4) for at in (2, 4, 8, 16)]
    more = [Level(level.at, level.mean, 16) for level in known]
    ratio = widest(known, [], 0.05).standard_error / widest(more, [], 0.05).standard_error
    assert ratio == pytest.approx(2, rel=0.02)


def test_unordered_or_too_few_levels_go_by_their_replicates() -> None:
    known = [Level(0.0, -1.0, 4), Level(1.0, -2.0, 3), Level(2.0, -3.0, 4)]
    assert widest(known, None, SCALE).at == 1
    assert widest(known, None, SCALE).standard_error == pytest.approx(SCALE / math.sqrt(3))


def test_pooled_scale_is_that_of_one_replicate() -> None:
    generator = np.random.default_rng(0)
    samples = generator.normal(0, 2.0, (400, 3))
    groups = [(3, float(row.std(ddof=1) / math.sqrt(3))) for row in samples]
    assert pooled_scale(groups) == pytest.approx(math.sqrt((samples.var(axis=1, ddof=1)).mean()))
    assert pooled_scale([(1, 0.0)]) is None


def test_levels_between() -> None:
    assert levels_between(2, 6) == [2, 3, 4, 5, 6]
    many = levels_between(1, 4096)
    assert (many[0], many[-1]) == (1, 4096)
    assert 100 < len(many) <= 200
    assert all(value == int(value) for value in many)
    assert len(levels_between(1e-4, 1e-2)) == 200


# --- as a phase of a sweep -------------------------------------------------------------------------------------------


def specification(**parts: Any) -> SweepSpec:
    tree: dict[str, Any] = {
        "name": "refine",
        "base": {"replicates": 3},
        "factors": {"model.latent_dim": [2, 4, 8, 32]},
        "search": {"window": 3},
        "refine": {"trials": 6},
    }
    return parse({**tree, **parts})


def run(spec: SweepSpec, folder: Path, workers: int = 1, error: float = 0.3, **options: Any) -> list[Plan]:
    def outcome(plan: Plan) -> Outcome:
        return Outcome("finished", curve(spec.trial(plan.overrides).model.latent_dim), error)

    return simulate(spec, folder, workers=workers, outcome=outcome, **options)


def test_the_rest_of_the_budget_goes_where_the_curve_is_least_certain(tmp_path: Path) -> None:
    spec = specification()
    plans = run(spec, tmp_path)
    assert [plan.phase for plan in plans] == ["factorial"] * 4 + ["refine"] * 6
    dims = [spec.trial(plan.overrides).model.latent_dim for plan in plans[4:]]
    assert set(dims) - {2, 4, 8, 32}, "a new dimension between two"
    assert all(2 <= dim <= 32 for dim in dims)
    seeds = [(plan.config_hash, spec.trial(plan.overrides).first_replicate) for plan in plans]
    assert len(set(seeds)) == len(seeds), "more of the same level means new seeds"


@pytest.mark.parametrize("workers", [2, 3])
def test_refinement_is_the_same_at_any_number_of_workers_and_across_crashes(tmp_path: Path, workers: int) -> None:
    for name in ("alone", "many", "crashed"):
        (tmp_path / name).mkdir()
    alone = run(specification(), tmp_path / "alone")
    assert run(specification(), tmp_path / "many", workers, seed=workers) == alone
    assert run(specification(), tmp_path / "crashed", workers, crash_after=(5, 7)) == alone


def test_it_ends_at_the_target(tmp_path: Path) -> None:
    (tmp_path / "loose").mkdir()
    (tmp_path / "strict").mkdir()
    loose = specification(refine={"trials": None, "target_standard_error": 50.0})
    assert [plan.phase for plan in run(loose, tmp_path / "loose")] == ["factorial"] * 4
    strict = specification(refine={"trials": None, "target_standard_error": 0.28}, budget={"trials": 60})
    plans = run(strict, tmp_path / "strict", workers=2)
    assert 5 <= len(plans) < 60


def test_a_level_that_fails_is_not_tried_for_ever(tmp_path: Path) -> None:
    spec = specification()

    def outcome(plan: Plan) -> Outcome:
        dim = spec.trial(plan.overrides).model.latent_dim
        return Outcome("finished", curve(dim), 0.3) if dim in (2, 4, 8, 32) else Outcome("failed")

    plans = simulate(spec, tmp_path, workers=1, outcome=outcome)
    new = [plan.config_hash for plan in plans if plan.phase == "refine"]
    failed = [digest for digest in new if digest not in {plan.config_hash for plan in plans[:4]}]
    assert len(set(failed)) == len(failed)


def test_confirmation_comes_after_refinement(tmp_path: Path) -> None:
    spec = specification(confirm={"replicates": 5}, refine={"trials": 2})
    phases = [plan.phase for plan in run(spec, tmp_path)]
    assert phases[:6] == ["factorial"] * 4 + ["refine"] * 2
    assert set(phases[6:]) == {"confirm"}
    assert Planner(spec, tmp_path).total == len(phases)
