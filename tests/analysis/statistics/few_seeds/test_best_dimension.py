"""Posterior probabilities of dimensions against closed forms and against draws from the posterior."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis.statistics.few_seeds.best_dimension import dimension_probabilities, sufficient_dimension

D = "model.latent_dim"


def curve(values: dict[int, list[float]]) -> pd.DataFrame:
    return pd.DataFrame([(d, y) for d, ys in values.items() for y in ys], columns=[D, "y"])


def test_two_dimensions_are_students_t() -> None:
    values = {2: [1.0, 2.0, 3.5], 8: [2.0, 2.5, 4.0]}
    table = dimension_probabilities(curve(values), "y", tolerance=0.25)
    sd = np.sqrt(np.mean([np.var(y, ddof=1) for y in values.values()]))
    error = sd * np.sqrt(2 / 3)
    difference = np.mean(values[8]) - np.mean(values[2])
    assert table["probability_best"].iloc[1] == pytest.approx(stats.t.cdf(difference / error, 4), abs=1e-5)
    enough = stats.t.cdf((0.25 - difference) / error, 4)
    assert table["probability_at_most"].tolist() == pytest.approx([enough, 1.0], abs=1e-5)
    assert table["probability_sufficient"].sum() == pytest.approx(1.0)


def test_five_dimensions_are_what_draws_from_the_posterior_give() -> None:
    rng = np.random.default_rng(0)
    values = {
        d: list(m + rng.normal(size=n)) for d, m, n in zip((2, 4, 8, 16, 32), (-3, -1, 0, 0.3, 0), (3, 3, 2, 4, 3))
    }
    table = dimension_probabilities(curve(values), "y", tolerance=0.7)
    n = np.array([len(y) for y in values.values()])
    degrees = int((n - 1).sum())
    squares = sum(np.var(y, ddof=1) * (len(y) - 1) for y in values.values())
    sigma = np.sqrt(squares / rng.chisquare(degrees, size=(400_000, 1)))
    draws = np.array([np.mean(y) for y in values.values()]) + sigma * rng.normal(size=(400_000, 5)) / np.sqrt(n)
    best = np.bincount(draws.argmax(axis=1), minlength=5) / len(draws)
    smallest = (draws >= draws.max(axis=1, keepdims=True) - 0.7).argmax(axis=1)
    assert table["probability_best"].to_numpy() == pytest.approx(best, abs=4e-3)
    assert table["probability_sufficient"].to_numpy() == pytest.approx(
        np.bincount(smallest, minlength=5) / len(draws), abs=4e-3
    )
    row = sufficient_dimension(table).iloc[0]
    dims = np.array(list(values))
    assert row["sufficient"] == dims[int(np.quantile(smallest, 0.5, method="inverted_cdf"))]
    assert [row["low"], row["high"]] == [
        dims[int(np.quantile(smallest, q, method="inverted_cdf"))] for q in (0.025, 0.975)
    ]
    assert row["n"] == n.sum()


def test_the_default_tolerance_is_one_pooled_seed_deviation_and_losses_are_minimised() -> None:
    values = {2: [1.0, 2.0, 3.0], 4: [2.0, 3.0, 4.0], 8: [9.0, 10.0, 11.0]}
    up = dimension_probabilities(curve(values), "y")
    assert up["tolerance"].tolist() == pytest.approx([1.0] * 3)
    mirrored = curve({d: [-x for x in y] for d, y in values.items()})
    down = dimension_probabilities(mirrored, "y", maximise=False)
    assert down["probability_best"].tolist() == pytest.approx(up["probability_best"].tolist())
    assert down["probability_at_most"].tolist() == pytest.approx(up["probability_at_most"].tolist())
    assert dimension_probabilities(mirrored, "y")["probability_best"].iloc[0] > 0.5


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({2: [1.0, 2.0, 3.0]}, "one dimension"),
        ({2: [1.0], 4: [2.0], 8: [2.0]}, "one seed at all"),
        ({2: [1.0, 1.2], 4: [2.0, 2.1]}, "2 degrees of freedom"),
    ],
)
def test_too_few_seeds_give_no_answer_and_the_reason(values: dict[int, list[float]], said: str) -> None:
    table = dimension_probabilities(curve(values), "y")
    assert table[["probability_best", "probability_at_most"]].isna().all(axis=None)
    assert table["note"].str.contains(said).all()
    row = sufficient_dimension(table).iloc[0]
    assert np.isnan(row["sufficient"])
    assert said in row["note"]


def test_a_dimension_with_one_seed_takes_no_part_and_curves_are_apart() -> None:
    first = curve({2: [1.0, 2.0, 3.0], 4: [2.0, 2.5, 3.0], 8: [99.0]}).assign(series="a")
    second = curve({2: [1.0, 2.0, 3.0], 4: [2.0, 2.5, 3.0]}).assign(series="b")
    table = dimension_probabilities(pd.concat([first, second]), "y", within="series")
    apart = [table.loc[table["series"] == name, "probability_best"].dropna().tolist() for name in "ab"]
    assert apart[0] == pytest.approx(apart[1])
    assert "1 of 3 dimensions have one seed" in table["note"].iloc[0]
    assert table["note"].iloc[-1] == ""


def test_seeds_that_all_agree_leave_no_doubt() -> None:
    table = dimension_probabilities(curve({2: [1.0, 1.0, 1.0], 4: [2.0, 2.0, 2.0]}), "y")
    assert table["probability_best"].tolist() == [0.0, 1.0]
    assert table["probability_at_most"].tolist() == [0.0, 1.0]
