"""Effects of a factor against scipy's tests, their families, and the verdicts."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis.statistics import holm
from analysis.statistics.few_seeds.effects import (
    EQUIVALENT,
    FIRST,
    SECOND,
    UNKNOWN,
    declared_factors,
    effects,
    seed_deviation,
    seeds_needed,
)

D, KL = "model.latent_dim", "kl.estimator"


def crossed(difference: float, *, sd: float = 1.0, seeds: int = 3, dims: int = 5, start: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(start)
    rows = [
        (d, name, seed, (difference if name == "closed_form" else 0.0) + d + sd * rng.normal())
        for d in range(1, dims + 1)
        for name in ("closed_form", "monte_carlo")
        for seed in range(seeds)
    ]
    return pd.DataFrame(rows, columns=[D, KL, "seed", "y"])


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return crossed(1.0, sd=0.4, start=3)


@pytest.fixture(scope="module")
def table(frame: pd.DataFrame) -> pd.DataFrame:
    return effects(frame, "y", KL)


def wide(frame: pd.DataFrame) -> pd.DataFrame:
    sides = frame.pivot(index=[D, "seed"], columns=KL, values="y")
    return (sides["closed_form"] - sides["monte_carlo"]).unstack("seed")


def test_the_overall_effect_is_a_t_test_over_seeds(frame: pd.DataFrame, table: pd.DataFrame) -> None:
    row = table[table["scope"] == "all"].iloc[0]
    test = stats.ttest_1samp(wide(frame).mean(axis=0), 0.0)
    low, high = test.confidence_interval(0.95)
    assert [row["difference"], row["low"], row["high"]] == pytest.approx([wide(frame).to_numpy().mean(), low, high])
    assert row["p_value"] == row["p_holm"] == pytest.approx(test.pvalue)
    assert row["probability"] == pytest.approx(1 - test.pvalue / 2)
    assert [row["n"], row["degrees"], row["pairs"]] == [3, 2, 15]


def test_each_dimension_has_the_pooled_variance_and_holms_correction(frame: pd.DataFrame, table: pd.DataFrame) -> None:
    rows = table[table["scope"] == "one"]
    sd = np.sqrt(wide(frame).var(axis=1, ddof=1).mean())
    t = wide(frame).mean(axis=1).to_numpy() / (sd / np.sqrt(3))
    p = 2 * stats.t.sf(np.abs(t), 10)
    assert rows["p_value"].to_numpy() == pytest.approx(p)
    assert rows["p_holm"].to_numpy() == pytest.approx(holm(p))
    assert rows["degrees"].tolist() == [10.0] * 5
    assert rows["probability"].to_numpy() == pytest.approx(stats.t.cdf(t, 10))


def test_equivalence_is_two_one_sided_tests(frame: pd.DataFrame) -> None:
    row = effects(frame, "y", KL, margin=2.0).iloc[0]
    means = wide(frame).mean(axis=0)
    below = stats.ttest_1samp(means, 2.0, alternative="less").pvalue
    above = stats.ttest_1samp(means, -2.0, alternative="greater").pvalue
    assert row["p_equivalent"] == pytest.approx(max(below, above))


def test_the_margin_is_one_seed_deviation_unless_said(frame: pd.DataFrame, table: pd.DataFrame) -> None:
    sd = np.sqrt(frame.groupby([D, KL])["y"].var(ddof=1).mean())
    assert seed_deviation(frame, "y", KL) == pytest.approx(sd)
    assert table["margin"].tolist() == pytest.approx([sd] * 6)


@pytest.mark.parametrize(
    ("difference", "sd", "seeds", "margin", "verdict"),
    [
        (3.0, 0.2, 3, 0.5, FIRST),
        (-3.0, 0.2, 3, 0.5, SECOND),
        (0.0, 0.05, 5, 1.0, EQUIVALENT),
        (0.2, 2.0, 4, 0.1, UNKNOWN),
    ],
)
def test_the_verdicts(difference: float, sd: float, seeds: int, margin: float, verdict: str) -> None:
    row = effects(crossed(difference, sd=sd, seeds=seeds, start=1), "y", KL, margin=margin).iloc[0]
    assert row["verdict"] == verdict


def test_losses_turn_the_verdict_and_the_probability() -> None:
    up = effects(crossed(3.0, sd=0.2), "y", KL).iloc[0]
    down = effects(crossed(3.0, sd=0.2), "y", KL, maximise=False).iloc[0]
    assert [up["verdict"], down["verdict"]] == [FIRST, SECOND]
    assert up["probability"] == pytest.approx(1 - down["probability"])


def test_one_seed_is_shown_and_not_judged() -> None:
    table = effects(crossed(1.0, seeds=1), "y", KL)
    assert len(table) == 6
    assert table[["p_value", "low", "high", "probability", "p_equivalent", "seeds_needed"]].isna().all(axis=None)
    assert (table["verdict"] == UNKNOWN).all()


def test_one_dimension_has_one_row_and_one_level_none() -> None:
    table = effects(crossed(1.0, dims=1), "y", KL)
    assert table[D].tolist() == [1.0]
    assert effects(crossed(1.0).query(f"`{KL}` == 'closed_form'"), "y", KL).empty


def test_three_levels_are_corrected_together() -> None:
    frame = pd.concat([crossed(1.0), crossed(0.5, start=1).query(f"`{KL}` == 'monte_carlo'").assign(**{KL: "k3"})])
    rows = effects(frame, "y", KL).query("scope == 'all'")
    assert rows["second"].tolist() == ["k3", "monte_carlo"]
    assert rows["p_holm"].to_numpy() == pytest.approx(holm(rows["p_value"].to_numpy()))


@pytest.mark.parametrize("ratio", [0.3, 1.0])
def test_the_seeds_needed_find_the_difference(ratio: float) -> None:
    n = int(seeds_needed(1.0, 5.0, ratio))
    rng = np.random.default_rng(0)
    for size, reached in ((n, True), (n - 1, False)):
        p = stats.ttest_1samp(ratio + rng.normal(size=(40_000, size)), 0.0, axis=1).pvalue
        assert ((p < 0.05).mean() >= 0.8 - 0.008) == reached or not reached
    assert np.isnan(seeds_needed(1.0, 1.0, ratio))
    assert np.isinf(seeds_needed(1.0, 5.0, 1e-3))


def test_declared_factors_are_those_of_the_design_whatever_became_of_the_trials() -> None:
    trials = pd.DataFrame({"phase": ["factorial"] * 4 + ["search"], "status": ["finished"] + ["stopped"] * 4})
    trials = trials.assign(
        **{D: [2, 2, 4, 4, 5], KL: ["a", "b", "a", "b", "a"], "training.learning_rate": [1, 1, 1, 1, 2]}
    )
    assert declared_factors(trials) == [KL]


def test_three_seeds_that_happen_to_agree_are_no_surer_than_the_dimensions_are() -> None:
    """The seeds' mean differences are all 0.5, while at each D they spread: that is luck, and no precision."""
    moves = np.array([[1.0, -1.0, 0.0], [-1.0, 0.0, 1.0], [0.0, 1.0, -1.0]])
    rows = [(d, name, seed, 0.0) for d in (2, 4, 8) for name in ("closed_form", "monte_carlo") for seed in range(3)]
    frame = pd.DataFrame(rows, columns=[D, KL, "seed", "y"])
    closed = frame[KL] == "closed_form"
    frame.loc[closed, "y"] = 0.5 + moves.ravel()
    overall = effects(frame, "y", KL).set_index("scope").loc["all"]
    error = np.sqrt(moves.var(axis=1, ddof=1).mean() / 9)
    assert overall["difference"] == pytest.approx(0.5)
    assert overall["standard_error"] == pytest.approx(error)
    assert overall["degrees"] == 6
    assert overall["high"] - overall["low"] == pytest.approx(2 * error * stats.t.ppf(0.975, 6))
    assert overall["verdict"] == UNKNOWN
