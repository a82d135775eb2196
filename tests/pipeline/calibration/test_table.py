"""The calibration table passes, and would not if an estimator were wrong; its own exact values are checked here."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from pipeline.calibration import evidence as calibration_evidence
from pipeline.calibration import gradients as calibration_gradients
from pipeline.calibration import seeds
from pipeline.calibration import table as calibration
from pipeline.calibration.cases import expected_log_mean, linear_case
from pipeline.calibration.rows import (
    BY_ERROR,
    BY_ULPS,
    TOLERANCE_ULPS,
    exact_row,
    is_off,
    mean_row,
    row,
    variance_row,
)
from pipeline.calibration.table import LIMIT, calibrate, worst
from pipeline.evaluation import annealing
from pipeline.model.linear_gaussian import full_gaussian
from pipeline.probability import sampling
from pipeline.probability.bounds import BOUNDS, log_mean_exp
from pipeline.probability.kl.monte_carlo import MonteCarlo
from pipeline.probability.kl.monte_carlo_k3 import MonteCarloK3
from pipeline.probability.names import GRADIENT_ESTIMATOR_NAMES, KL_ESTIMATOR_NAMES, SCHEME_NAMES

DOUBLE = torch.float64


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_every_estimator_agrees_with_its_exact_value() -> None:
    sections: list[str] = []
    rows = calibrate(seed=0, progress=sections.append)
    assert sections == list(calibration.SECTIONS)
    assert worst(rows) < LIMIT
    keys = {"estimator", "quantity", "value", "exact", "compared", "standard_error", "z_score", "ulps", "num_draws"}
    assert all(set(row) == keys for row in rows)
    assert all(type(row["num_draws"]) is int for row in rows)
    for one in rows:  # what is deterministic has no standard error, and what has one is not counted in ulp
        told = [key for key in ("standard_error", "z_score", "ulps") if one[key] is not None]
        assert told == (["ulps"] if one["compared"] == BY_ULPS else ["standard_error", "z_score"])
    assert len({(row["estimator"], row["quantity"]) for row in rows}) == len(rows)
    shipped = [(row["estimator"], row["quantity"], row["compared"]) for row in seeds.shipped()["rows"]]
    made = [(row["estimator"], row["quantity"], row["compared"]) for row in rows]
    assert made == shipped, "an estimator was added or renamed: say `make calibrate`, and ship what it writes"
    # Each z is one of a few dozen standard normal numbers: far too many small ones would mean inflated errors.
    scores = torch.tensor([row["z_score"] for row in rows if row["num_draws"] > 10_000 and row["compared"] == BY_ERROR])
    assert 0.6 < float(scores.std()) < 1.5


@pytest.mark.parametrize("section", ["KL estimators", "evidence"])
def test_same_seed_same_rows_and_another_seed_other_rows(section: str) -> None:
    run = calibration.SECTIONS[section]
    assert run(rng(1)) == run(rng(1))
    assert run(rng(1)) != run(rng(2))


def test_global_random_state_is_untouched() -> None:
    before = torch.get_rng_state()
    calibration.SECTIONS["KL estimators"](rng())
    calibration.SECTIONS["evidence"](rng())
    assert torch.equal(before, torch.get_rng_state())


def without_rejection(path: Any, point: Any, temperature: float, step: Any, generator: Any) -> Any:
    """A transition that takes one crude step and accepts it: no longer leaves its target invariant."""
    noise = torch.randn(point.z.shape, generator=generator, dtype=DOUBLE)
    moved = annealing.evaluate(path, point.z + point.gradient(temperature) / 2 + noise)
    return moved, torch.ones_like(moved.log_joint)


K1, DRAW = MonteCarlo.draws, sampling.draw
MUTANTS = {
    "k1 off by 5 %": ("KL estimators", MonteCarlo, "draws", lambda self, terms: 1.05 * K1(self, terms)),
    "k3 without its log": (
        "KL estimators",
        MonteCarloK3,
        "draws",
        lambda self, terms: (terms["log_pz"] - terms["log_qz_x"]).expm1(),
    ),
    "antithetic pairs that are not": (
        "sampling schemes",
        sampling,
        "draw",
        lambda scheme, *size, **options: DRAW("iid", *size, **options),
    ),
    "transitions without rejection": ("annealing", annealing, "transition", without_rejection),
}
BOUND_MUTANTS = {
    "log of K - 1": ("iwae", lambda w: log_mean_exp(w) + (math.log(len(w) / (len(w) - 1)) if len(w) > 1 else 0)),
    "no jackknife": ("jackknife", log_mean_exp),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_wrong_estimator_does_not_pass(mutant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    section, owner, name, broken = MUTANTS[mutant]
    monkeypatch.setattr(owner, name, broken)
    assert worst(calibration.SECTIONS[section](rng())) > LIMIT


@pytest.mark.parametrize("mutant", BOUND_MUTANTS)
def test_a_wrong_bound_does_not_pass(mutant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name, broken = BOUND_MUTANTS[mutant]
    monkeypatch.setitem(BOUNDS, name, BOUNDS[name]._replace(of=broken))
    assert worst(calibration.SECTIONS["bounds"](rng())) > LIMIT


def test_every_registered_kind_has_rows() -> None:
    """The names of KL estimators, gradient estimators, schemes and bounds all stand in the table's rows."""
    rows = [row["estimator"] for name in ("KL estimators", "sampling schemes", "bounds", "gradients")
            for row in calibration.SECTIONS[name](rng())]  # fmt: skip
    assert all(any(row.startswith(name) for row in rows) for name in KL_ESTIMATOR_NAMES)
    assert all(any(row.startswith(f"gradient: {name},") for row in rows) for name in GRADIENT_ESTIMATOR_NAMES)
    assert all(f"sampling {name}" in rows for name in SCHEME_NAMES)
    assert all(f"{bound.name}_8" in rows for bound in BOUNDS.values() if bound.uses_all_draws)


# --- the exact values -----------------------------------------------------------------------------------------------


def test_expected_bound_is_the_elbo_at_one_draw_and_follows_the_expansion_at_many() -> None:
    case = linear_case(1, 1, rng())
    q = full_gaussian(case.posterior())
    model = case.model
    one = calibration_evidence.expected_bound(case, q, 1)
    assert one == pytest.approx(float(model.elbo(case.flat, q)), abs=1e-7)
    second, third = (float(model.log_weight_moment(case.flat, q, n).exp()) for n in (2, 3))
    mu2, mu3, num = second - 1, third - 3 * second + 2, 10_000
    predicted = float(model.log_px(case.flat)) - mu2 / (2 * num) + (mu3 / 3 - 3 * mu2**2 / 4) / num**2
    assert calibration_evidence.expected_bound(case, q, num) == pytest.approx(predicted, abs=1e-7)


def test_expected_bound_of_two_draws_by_a_double_integral() -> None:
    noise = torch.linspace(-10, 10, 2001, dtype=DOUBLE)
    log_weights = -0.7 * noise**2 + 0.3 * noise - 4
    density = torch.exp(-0.5 * noise**2) / math.sqrt(2 * math.pi) * (noise[1] - noise[0])
    pairs = torch.logaddexp(log_weights[:, None], log_weights[None]) - math.log(2)
    expected = float(density @ pairs @ density)
    assert float(expected_log_mean(log_weights, noise, 2)) == pytest.approx(expected, abs=1e-8)


def test_exact_gradients_are_those_of_the_closed_form_elbo() -> None:
    case = linear_case(1, 4, rng())
    loss = calibration_gradients.elbo_loss(case)
    closed = -case.model.elbo(case.flat, case.vae.posterior(case.x)).mean()  # type: ignore[arg-type]
    assert loss.item() == pytest.approx(closed.item(), abs=1e-6)
    for of_loss, of_closed_form in zip(
        torch.autograd.grad(loss, case.vae.encoder_parameters()),
        torch.autograd.grad(closed, case.vae.encoder_parameters()),
        strict=True,
    ):
        torch.testing.assert_close(of_loss, of_closed_form, rtol=1e-6, atol=1e-6)


def test_exact_iwae_loss_has_the_gradient_of_its_value() -> None:
    """Finite differences in one decoder weight; and K = 1 is the ELBO."""
    case = linear_case(1, 2, rng())
    elbo = calibration_gradients.elbo_loss(case).item()
    assert calibration_gradients.iwae_loss(case, 1).item() == pytest.approx(elbo, abs=1e-6)
    weight = case.vae.decoder_parameters()[0]
    (gradient,) = torch.autograd.grad(calibration_gradients.iwae_loss(case, 4), weight)
    step, values = 1e-4, []
    for sign in (1, -1):
        with torch.no_grad():
            weight[0, 0] += sign * step
            values.append(float(calibration_gradients.iwae_loss(case, 4)))
            weight[0, 0] -= sign * step
    assert float(gradient[0, 0]) == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-5)


# --- rows -----------------------------------------------------------------------------------------------------------


def test_rows_count_their_standard_errors() -> None:
    draws = torch.tensor([1.0, 2.0, 3.0, 6.0])
    mean = mean_row("a", "b", draws, 2.0, per_draw=5)
    assert mean["z_score"] == pytest.approx((3 - 2) / (float(draws.std()) / 2))
    assert mean["num_draws"] == 20
    many = torch.randn(100_000, generator=rng(), dtype=DOUBLE)
    variance = variance_row("a", "b", many, 1.0)
    assert variance["standard_error"] == pytest.approx(math.sqrt(2 / 100_000), rel=0.02)
    assert abs(variance["z_score"]) < 4.5


@pytest.mark.parametrize(("side", "value", "z"), [("below", 1.0, 0.0), ("above", 1.0, -2.0), ("both", 1.0, -2.0)])
def test_bounds_count_only_on_their_wrong_side(side: Any, value: float, z: float) -> None:
    assert row("a", "b", value, 2.0, 0.5, 1, side)["z_score"] == z


def test_deterministic_rows_allow_rounding_only() -> None:
    assert exact_row("a", "b", 1.0, 1.0)["ulps"] == 0
    few = exact_row("a", "b", 1000.0 + 3 * math.ulp(1000.0), 1000.0)
    assert (few["ulps"], few["standard_error"], few["z_score"]) == (3.0, None, None)
    assert exact_row("a", "b", 1e-3 - 2 * math.ulp(1.0), 1e-3)["ulps"] == pytest.approx(-2.0), "terms are of order one"
    assert not is_off(few, LIMIT)
    assert worst([few]) == 0
    for value in (1.0 + (TOLERANCE_ULPS + 1) * math.ulp(1.0), math.nan, math.inf):
        off = exact_row("a", "b", value, 1.0)
        assert is_off(off, LIMIT)
        assert worst([few, off]) == math.inf


@pytest.mark.parametrize("broken", [lambda: math.nan, lambda: math.inf])
def test_what_is_not_a_number_cannot_pass(broken: Callable[[], float]) -> None:
    assert worst([mean_row("a", "b", torch.tensor([1.0, broken(), 2.0]), 1.0)]) == math.inf
    assert worst([mean_row("a", "b", torch.ones(3), 2.0)]) == math.inf
    assert worst([]) == 0
