"""Paired comparisons against scipy's paired test; verdicts that say what the numbers say."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis import statistics


def test_paired_differences_are_scipys_paired_test(replicates: pd.DataFrame) -> None:
    chosen = replicates[(replicates["phase"] == "factorial") & (replicates["objective.num_samples"] == 1)]
    table = statistics.paired_differences(chosen, "test.elbo", "kl.estimator")
    sides = chosen.pivot(index=["model.latent_dim", "seed"], columns="kl.estimator", values="test.elbo")
    for row in table.to_dict("records"):
        pair = sides.loc[row["model.latent_dim"]].dropna()
        test = stats.ttest_rel(pair["closed_form"], pair["monte_carlo"])
        interval = test.confidence_interval(0.95)
        assert row["n"] == row["pairs"] == len(pair)
        assert [row["first"], row["second"]] == ["closed_form", "monte_carlo"]
        assert row["difference"] == pytest.approx((pair["closed_form"] - pair["monte_carlo"]).mean())
        assert [row["p_value"], row["low"], row["high"]] == pytest.approx([test.pvalue, interval.low, interval.high])
        assert row["first_mean"] - row["second_mean"] == pytest.approx(row["difference"])
    assert table["p_holm"].tolist() == pytest.approx(list(independent_holm(table["p_value"].to_numpy())))


def independent_holm(p: np.ndarray) -> np.ndarray:
    """Holm (1979) as written: the k-th smallest p times (m - k + 1), made monotone, at most 1."""
    order, out, worst = np.argsort(p), np.empty(len(p)), 0.0
    for rank, index in enumerate(order):
        worst = max(worst, min(1.0, p[index] * (len(p) - rank)))
        out[index] = worst
    return out


def test_holm_by_hand_and_with_gaps() -> None:
    assert statistics.holm(np.array([0.01, 0.04, 0.03])).tolist() == pytest.approx([0.03, 0.06, 0.06])
    assert statistics.holm(np.array([0.02, np.nan, 0.5])).tolist() == pytest.approx([0.04, np.nan, 0.5], nan_ok=True)
    assert statistics.holm(np.array([])).size == 0


def test_pairs_need_the_same_seed_and_the_same_everything_else() -> None:
    frame = pd.DataFrame(
        {
            "model.latent_dim": [2, 2, 2, 2, 2, 2],
            "kl.estimator": ["closed_form", "monte_carlo"] * 3,
            "training.learning_rate": [0.1, 0.1, 0.1, 0.1, 0.1, 0.2],
            "seed": [0, 0, 1, 1, 2, 2],
            "replicate": [0, 0, 1, 1, 2, 2],
            "test.elbo": [5.0, 3.0, 6.0, 5.0, 100.0, 0.0],
        }
    )
    row = statistics.paired_differences(frame, "test.elbo", "kl.estimator").iloc[0]
    assert [row["n"], row["difference"]] == [2, 1.5]  # seed 2 has no partner with its learning rate


def test_pairing_removes_what_the_seed_contributes() -> None:
    rng = np.random.default_rng(10)
    seeds = np.arange(8)
    effect = 30.0 * rng.normal(size=8)
    sides = [effect + 1.0 + 0.1 * rng.normal(size=8), effect + 0.1 * rng.normal(size=8)]
    frame = pd.DataFrame(
        {
            "seed": np.tile(seeds, 2),
            "kl.estimator": np.repeat(["closed_form", "monte_carlo"], 8),
            "test.elbo": np.concatenate(sides),
        }
    )
    row = statistics.paired_differences(frame, "test.elbo", "kl.estimator", by=()).iloc[0]
    assert row["low"] < 1.0 < row["high"]
    assert row["high"] - row["low"] < 0.5
    assert row["verdict"].startswith(f"closed form has the higher test ELBO: {row['difference']:.3f} [")


def test_several_pairs_of_a_seed_count_once(replicates: pd.DataFrame) -> None:
    factorial = replicates[replicates["phase"] == "factorial"]
    table = statistics.paired_differences(factorial, "test.elbo", "kl.estimator", by=())
    row = table.iloc[0]
    assert row["n"] == 5
    assert row["pairs"] > row["n"]
    looser = statistics.paired_differences(factorial, "test.elbo", "kl.estimator", by=(), unit="model.latent_dim")
    assert looser["n"].item() > 5


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        ([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], "These data cannot tell closed form from Monte Carlo (k1)"),
        ([1.0, 2.0, 3.0], [0.0, 1.0, 2.0], "closed form has the higher test ELBO: 1 nats (95 % interval"),
        ([0.0, 1.0, 2.1], [1.0, 2.0, 3.0], "closed form has the lower test ELBO: −0.97 ["),
        ([1.0], [0.0], "on the only pair: one pair cannot tell them apart"),
    ],
)
def test_the_verdict_is_computed(first: list[float], second: list[float], words: str) -> None:
    n = len(first)
    frame = pd.DataFrame(
        {
            "seed": [*range(n), *range(n)],
            "kl.estimator": ["closed_form"] * n + ["monte_carlo"] * n,
            "test.elbo": first + second,
        }
    )
    table = statistics.paired_differences(frame, "test.elbo", "kl.estimator", by=())
    assert words in table["verdict"].item()


def test_the_overall_verdict_counts(replicates: pd.DataFrame) -> None:
    table = statistics.paired_differences(replicates, "test.elbo", "kl.estimator")
    apart = int((table["p_holm"] < 0.05).sum())
    sentence = statistics.overall_verdict(table, "test.elbo")
    assert (f"in {apart} of {len(table)} comparisons" if apart else "cannot tell") in sentence
    largest = table.loc[table["difference"].abs().idxmax()]
    assert f"(D = {largest['model.latent_dim']:g}, n = {largest['n']} seeds)" in sentence
    assert "nothing to compare" in statistics.overall_verdict(table.head(0), "test.elbo")


def test_no_pair_at_all_and_an_unknown_reference(replicates: pd.DataFrame) -> None:
    one_level = replicates[replicates["kl.estimator"] == "closed_form"]
    assert statistics.paired_differences(one_level, "test.elbo", "kl.estimator").empty
    with pytest.raises(
        ValueError, match=r"reference must be one of kl.estimator: closed_form, monte_carlo, got 'exact'"
    ):
        statistics.paired_differences(replicates, "test.elbo", "kl.estimator", reference="exact")


def test_the_family_of_comparisons_errs_as_seldom_as_promised() -> None:
    """No difference anywhere: Holm names one in at most 5 % of sweeps (and nearly that often)."""
    rng, wrong, sweeps = np.random.default_rng(11), 0, 400
    for _ in range(sweeps):
        p = stats.ttest_1samp(rng.normal(size=(4, 4)), 0.0, axis=1).pvalue
        wrong += statistics.holm(p).min() < 0.05
    assert wrong / sweeps < 0.05 + 4 * np.sqrt(0.05 * 0.95 / sweeps)
    assert wrong / sweeps > 0.01
