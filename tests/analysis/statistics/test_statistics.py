"""Each statistic against an independent computation, or against the coverage that its interval promises."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import synthetic
import synthetic_tables as truth
from scipy import stats

from analysis import statistics, tables


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> tables.Sweep:
    folder = tmp_path_factory.mktemp("runs") / "synthetic"
    return tables.load(synthetic.write(folder, replicates=5, failed=1, stopped=2, suspect=1, pictures=False))


@pytest.fixture(scope="module")
def replicates(sweep: tables.Sweep) -> pd.DataFrame:
    return tables.joined(sweep)


def assert_covers(covered: np.ndarray, promised: float) -> None:
    """A share of intervals that is within 4 binomial standard errors of what they promise."""
    error = np.sqrt(promised * (1 - promised) / covered.size)
    assert covered.mean() == pytest.approx(promised, abs=4 * error)


# --- intervals ------------------------------------------------------------------------------------------------------


def test_summarise_is_scipys_t_interval(replicates: pd.DataFrame) -> None:
    table = statistics.summarise(replicates, "test.elbo", ["model.latent_dim", "kl.estimator"])
    assert len(table) == 8
    for row in table.to_dict("records"):
        same = (replicates["model.latent_dim"] == row["model.latent_dim"]) & (
            replicates["kl.estimator"] == row["kl.estimator"]
        )
        values = replicates.loc[same, "test.elbo"].to_numpy()
        expected = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
        assert row["n"] == len(values)
        assert [row["mean"], row["standard_error"]] == pytest.approx([values.mean(), stats.sem(values)])
        assert [row["low"], row["high"]] == pytest.approx([expected.low, expected.high])


def test_summarise_counts_what_it_leaves_out_and_gives_no_interval_for_one() -> None:
    frame = pd.DataFrame({"d": [1, 1, 1, 2, 2, 3], "y": [1.0, 3.0, np.nan, 5.0, np.inf, np.nan]})
    table = statistics.summarise(frame, "y", "d").set_index("d")
    assert table["n"].to_dict() == {1: 2, 2: 1, 3: 0}
    assert table["missing"].to_dict() == {1: 1, 2: 1, 3: 1}
    assert table["mean"].iloc[:2].tolist() == [2.0, 5.0]
    assert table.loc[[2, 3], ["standard_error", "low", "high"]].isna().all(axis=None)
    assert np.isfinite(table.loc[1, ["low", "high"]].to_numpy(float)).all()


def test_summarise_without_groups_and_without_rows() -> None:
    frame = pd.DataFrame({"d": [1, 2], "y": [1.0, 3.0]})
    assert statistics.summarise(frame, "y")[["n", "mean"]].to_numpy().tolist() == [[2, 2.0]]
    assert statistics.summarise(frame.head(0), "y")["n"].tolist() == [0]
    assert statistics.summarise(frame.head(0), "y", "d").empty


def test_rows_of_one_unit_count_once() -> None:
    frame = pd.DataFrame({"trial": [0, 0, 0, 1, 2], "y": [0.0, 1.0, 2.0, 5.0, 9.0]})
    row = statistics.summarise(frame, "y", unit="trial").iloc[0]
    assert row["n"] == 3
    assert row["mean"] == pytest.approx(5.0)
    assert row["standard_error"] == pytest.approx(stats.sem([1.0, 5.0, 9.0]))


def test_the_t_interval_covers_with_three_replicates() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"d": np.repeat(np.arange(4000), 3), "y": 7.0 + rng.normal(size=12000)})
    table = statistics.summarise(frame, "y", "d")
    assert_covers(((table["low"] <= 7.0) & (table["high"] >= 7.0)).to_numpy(), 0.95)


def test_clustered_rows_cover_only_when_the_unit_is_named() -> None:
    rng = np.random.default_rng(1)
    group, trial = np.repeat(np.arange(1500), 12), np.tile(np.repeat(np.arange(4), 3), 1500)
    shared = rng.normal(size=(1500, 4))[group, trial]
    frame = pd.DataFrame({"d": group, "trial": trial, "y": shared + 0.3 * rng.normal(size=len(group))})
    named = statistics.summarise(frame, "y", "d", unit="trial")
    assert_covers(((named["low"] <= 0) & (named["high"] >= 0)).to_numpy(), 0.95)
    pooled = statistics.summarise(frame, "y", "d")
    assert ((pooled["low"] <= 0) & (pooled["high"] >= 0)).mean() < 0.85


def test_the_bootstrap_is_scipys_and_deterministic() -> None:
    values = np.random.default_rng(2).gamma(2.0, size=40)
    frame = pd.DataFrame({"y": values})
    table = statistics.bootstrap(frame, "y", seed=5)
    expected = stats.bootstrap((values,), np.median, n_resamples=2000, method="BCa", rng=np.random.default_rng(5))
    assert table[["low", "high"]].to_numpy().tolist() == [list(expected.confidence_interval)]
    pd.testing.assert_frame_equal(table, statistics.bootstrap(frame, "y", seed=5))


def test_the_bootstrap_of_a_skewed_mean_covers() -> None:
    rng = np.random.default_rng(3)
    frame = pd.DataFrame({"d": np.repeat(np.arange(300), 40), "y": rng.gamma(2.0, size=12000)})
    table = statistics.bootstrap(frame, "y", "d", statistic=np.mean, resamples=800)
    covered = ((table["low"] <= 2.0) & (table["high"] >= 2.0)).mean()
    assert 0.95 - 4 * np.sqrt(0.05 * 0.95 / 300) - 0.015 < covered  # BCa at n = 40 is short of 95 % by about 1 %


@pytest.mark.parametrize(("values", "width"), [([3.0], np.nan), ([2.0, 2.0, 2.0], 0.0)])
def test_the_bootstrap_without_spread(values: list[float], width: float) -> None:
    row = statistics.bootstrap(pd.DataFrame({"y": values}), "y").iloc[0]
    assert row["high"] - row["low"] == pytest.approx(width, nan_ok=True)


def test_the_bootstrap_of_a_median_among_ties_has_an_interval() -> None:
    row = statistics.bootstrap(pd.DataFrame({"y": [1.0, 2.0, 2.0, 2.0, 2.0, 3.0]}), "y").iloc[0]
    assert row["low"] <= 2.0 <= row["high"]


@pytest.mark.parametrize("units", [1, 5, 20])
def test_the_variance_interval_covers_where_chi_square_does_not(units: int) -> None:
    """k1 of a narrow Gaussian is, per active unit, half a chi-square: excess kurtosis 12 / units."""
    rng = np.random.default_rng(units)
    draws, repeats = 512, 3000
    sample = np.empty((repeats, draws))
    for i in range(repeats):
        sample[i] = -0.5 * rng.chisquare(units, size=draws)
    true = 0.5 * units
    variance = sample.var(axis=1, ddof=1)
    low, high = statistics.variance_interval(variance, draws, 12.0 / units)
    covered = (low <= true) & (true <= high)
    # The delta method on the log scale leaves out terms of order 1/draws: 1 % is allowed for them.
    assert covered.mean() == pytest.approx(0.95, abs=4 * np.sqrt(0.95 * 0.05 / repeats) + 0.01)
    chi_square = (draws - 1) * variance[:, None] / stats.chi2.ppf([0.975, 0.025], draws - 1)
    naive = (chi_square[:, 0] <= true) & (true <= chi_square[:, 1])
    assert naive.mean() < covered.mean() - (0.15 if units == 1 else 0.01)


def test_the_variance_interval_of_a_normal_is_close_to_chi_square() -> None:
    low, high = statistics.variance_interval(2.0, 2000, 0.0)
    chi_square = 1999 * 2.0 / stats.chi2.ppf([0.975, 0.025], 1999)
    assert [float(low), float(high)] == pytest.approx(chi_square, rel=2e-3)
    assert np.isnan(statistics.variance_interval(2.0, 1, 0.0)).all()


def test_the_share_interval_is_wilsons() -> None:
    z, n, p = stats.norm.ppf(0.975), 20, 0.9
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    assert statistics.share_interval(18, 20) == pytest.approx((centre - half, centre + half))
    assert np.isnan(statistics.share_interval(0, 0)).all()


# --- curves ---------------------------------------------------------------------------------------------------------


def curve(means: dict[int, float], spread: float, n: int, rng: np.random.Generator) -> pd.DataFrame:
    dims = np.repeat(list(means), n)
    values = np.repeat(list(means.values()), n) + spread * rng.normal(size=len(dims))
    return pd.DataFrame({"model.latent_dim": dims, "test.elbo": values})


def test_the_knee_by_hand() -> None:
    frame = pd.DataFrame({"model.latent_dim": [2, 2, 4, 4, 8, 8, 16, 16]})
    frame["test.elbo"] = [-10.0, -10.0, -5.4, -5.0, -4.0, -5.2, -4.0, -6.0]
    row = statistics.knee(frame, "test.elbo").iloc[0]
    # Best mean -4.6 at 8, its standard error 0.6: everything from -5.2 on is as good, and 4 has exactly -5.2.
    assert row["best"] == 8
    assert row["threshold"] == pytest.approx(-5.2)
    assert row["knee"] in (4, 8)
    frame.loc[frame["model.latent_dim"] == 4, "test.elbo"] += 0.01
    assert statistics.knee(frame, "test.elbo")["knee"].item() == 4
    frame["test.loss"] = -frame["test.elbo"]
    assert statistics.knee(frame, "test.loss", maximise=False)["knee"].item() == 4
    assert statistics.knee(frame, "test.loss", maximise=False)["threshold"].item() == pytest.approx(5.2)


def test_the_bootstrap_of_the_knee_reproduces_its_sampling_distribution() -> None:
    """Over fresh sweeps the knee falls on each D with some frequency; the bootstrap's interval holds the usual ones."""
    means, rng = {2: -20.0, 4: -11.0, 8: -10.2, 16: -10.0}, np.random.default_rng(4)
    tables_ = [statistics.knee(curve(means, 0.5, 5, rng), "test.elbo", resamples=400) for _ in range(150)]
    found = pd.concat(tables_, ignore_index=True)
    limit = 16 if found["knee"].median() == 16 else 8
    covered = (found["low"] <= limit) & (limit <= found["high"])
    assert covered.mean() > 0.9
    assert (found["low"] >= 4).mean() > 0.95  # D = 2 is 9 nats worse: never a knee


def test_a_clear_knee_has_no_width_and_is_deterministic() -> None:
    frame = curve({2: -30.0, 4: -20.0, 8: -10.0}, 0.1, 4, np.random.default_rng(5))
    row = statistics.knee(frame, "test.elbo").iloc[0]
    assert [row["knee"], row["low"], row["high"], row["probability"], row["note"]] == [8, 8, 8, 1.0, ""]
    pd.testing.assert_frame_equal(statistics.knee(frame, "test.elbo"), statistics.knee(frame, "test.elbo"))


@pytest.mark.parametrize(
    ("means", "n", "note"), [({4: -1.0}, 3, "one dimension only"), ({2: -2.0, 4: -1.0}, 1, "one replicate at the best")]
)
def test_a_curve_without_a_knee_says_why(means: dict[int, float], n: int, note: str) -> None:
    row = statistics.knee(curve(means, 0.1, n, np.random.default_rng(6)), "test.elbo").iloc[0]
    assert np.isnan(row["knee"])
    assert row["note"].startswith(note)


def test_slopes_are_numpys_when_errors_are_equal() -> None:
    rng = np.random.default_rng(7)
    frame = pd.DataFrame([(t, n) for t in range(6) for n in (1, 2, 4, 8)], columns=["trial", "num_samples"])
    frame["replicate"] = 0
    frame["variance"] = 3.0 * frame["num_samples"] ** -1.0 * np.exp(0.1 * rng.normal(size=len(frame)))
    table = statistics.fit_slope(frame, by=(), error=None)
    lines = [np.polyfit(np.log(g["num_samples"]), np.log(g["variance"]), 1)[0] for _, g in frame.groupby("trial")]
    interval = stats.ttest_1samp(lines, 0.0).confidence_interval(0.95)
    row = table.iloc[0]
    assert row["n"] == 6
    assert [row["slope"], row["low"], row["high"]] == pytest.approx([np.mean(lines), interval.low, interval.high])


def test_a_single_line_falls_back_to_its_weighted_regression() -> None:
    x, relative = np.array([1, 2, 4, 8, 16]), np.array([0.02, 0.03, 0.05, 0.08, 0.1])
    y = 2.0 / x * np.exp(relative * np.random.default_rng(8).normal(size=5))
    frame = pd.DataFrame({"num_samples": x, "variance": y, "standard_error": relative * y, "trial": 0, "replicate": 0})
    row = statistics.fit_slope(frame, by=()).iloc[0]
    log_y = np.log(y) + 0.5 * relative**2
    expected, covariance = np.polyfit(np.log(x), log_y, 1, w=1 / relative, cov="unscaled")
    residual = ((np.polyval(expected, np.log(x)) - log_y) / relative) ** 2
    scale = max(1.0, residual.sum() / 3)
    assert row["slope"] == pytest.approx(expected[0])
    assert row["standard_error"] == pytest.approx(np.sqrt(covariance[0, 0] * scale))
    assert row["method"] == "one weighted regression"


def test_the_iid_slope_covers_minus_one_with_shared_draws() -> None:
    """Every L from the same draws, as in the study: the points of a line depend on each other, the lines do not."""
    rng, rows = np.random.default_rng(9), []
    for sweep_number in range(300):
        for replicate in range(4):
            draws = rng.normal(size=(16, 512)) ** 2
            for length in (1, 2, 4, 8, 16, 32):
                blocks = draws.reshape(16, -1, length).mean(axis=2)
                variance = blocks.var(axis=1, ddof=1)
                error = np.sqrt((2.0 / (blocks.shape[1] - 1) + 12.0 / length / blocks.shape[1]) / 16) * variance.mean()
                rows.append((sweep_number, 0, replicate, length, variance.mean(), error))
    names = ["sweep", "trial", "replicate", "num_samples", "variance", "standard_error"]
    table = statistics.fit_slope(pd.DataFrame(rows, columns=names), by="sweep")
    assert table["n"].eq(4).all()
    covered = ((table["low"] <= -1.0) & (table["high"] >= -1.0)).to_numpy()
    assert_covers(covered, 0.95)


def test_slopes_recover_the_truth_of_every_scheme(sweep: tables.Sweep) -> None:
    table = statistics.variance_slopes(sweep.variance)
    true = table["sampling"].map({"iid": -1.0, "antithetic": -1.0, "sobol": -2.0})
    assert (np.abs(table["slope"] - true) < 5 * table["standard_error"]).all()
    assert table.loc[table["sampling"] != "sobol", "contains_expected"].mean() > 0.7
    assert table.loc[table["sampling"] == "sobol", "expected"].isna().all()


def test_gradient_slopes_know_the_theory(sweep: tables.Sweep) -> None:
    table = statistics.gradient_slopes(sweep.gradients).set_index(["parameters", "estimator", "against"])
    assert table.loc[("encoder", "pathwise", "num_importance_samples"), "expected"] == -0.5
    assert table.loc[("encoder", "dreg", "num_importance_samples"), "expected"] == 0.5
    assert (np.abs(table["slope"] - table["expected"]) < 5 * table["standard_error"]).all()


def test_counts_per_dimension_add_up(sweep: tables.Sweep) -> None:
    counts = statistics.per_dimension_counts(sweep.trials, sweep.replicates)
    assert counts["trials"].sum() == len(sweep.trials)
    ended = counts[["finished", "stopped", "failed", "running"]].sum()
    assert ended.to_dict() == {"finished": len(sweep.trials) - 3, "stopped": 2, "failed": 1, "running": 0}
    assert counts["replicates"].sum() == len(tables.joined(sweep))
    assert counts["suspect"].sum() == 1


# --- comparisons ----------------------------------------------------------------------------------------------------


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


def test_prior_monte_carlo_collapses_on_draws_over_exp_kl() -> None:
    """Bias -KL + log(draws) below exp(KL) draws, none above: one curve for every KL."""
    kl, num_draws = np.meshgrid(np.linspace(3.0, 12.0, 40), [1.0, 10.0, 100.0, 1e4])
    bias = np.minimum(np.log(num_draws) - kl, 0.0)
    frame = pd.DataFrame({"kl": kl.ravel(), "num_draws": num_draws.ravel(), "bias": bias.ravel()})
    table = statistics.prior_monte_carlo_collapse(frame.assign(estimator="prior_monte_carlo"), per_decade=2)
    assert table["n"].sum() == len(frame)
    expected = np.minimum(np.log(table["share"]), 0.0)
    assert np.abs(table["median"] - expected).max() <= np.log(10.0) / 4 + 1e-9  # half the width of a bin
    assert ((table["low"] <= table["median"]) & (table["median"] <= table["high"])).all()


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


# --- variance -------------------------------------------------------------------------------------------------------


def test_variance_components_recover_the_truth(sweep: tables.Sweep, replicates: pd.DataFrame) -> None:
    variance = tables.joined(sweep, "variance")
    table = statistics.variance_components(replicates, variance, num_samples=4)
    wide = table.pivot(
        index=["model.latent_dim", "quantity", "num_importance_samples"], columns="component", values="variance"
    ).reset_index()
    bound = wide[wide["quantity"] == "elbo_closed_form"].sort_values("model.latent_dim")
    expected = truth.one_draw_variance("elbo_closed_form", bound["model.latent_dim"]) / 4
    assert bound["monte_carlo"].to_numpy() == pytest.approx(np.asarray(expected), rel=0.02)
    assert bound["between_images"].to_numpy() == pytest.approx(truth.BETWEEN_IMAGES**2, rel=0.1)
    # Five seeds are shared by all trials: the pooled variance is uncertain, but of this size.
    assert (bound["between_replicates"] > truth.BETWEEN_REPLICATES**2 / 5).all()
    assert (bound["between_replicates"] < truth.BETWEEN_REPLICATES**2 * 5).all()
    shares = table.groupby(["model.latent_dim", "quantity", "num_importance_samples"], dropna=False)["share"].sum()
    assert shares.to_numpy() == pytest.approx(1.0)


def test_between_replicates_is_pooled_within_trials() -> None:
    replicates = pd.DataFrame({"trial": [0, 0, 1, 1, 1], "test.elbo": [0.0, 2.0, 100.0, 101.0, 102.0]})
    variance = pd.DataFrame(
        {
            "quantity": "elbo_closed_form",
            "sampling": "iid",
            "num_samples": [1],
            "num_importance_samples": np.nan,
            "variance": 3.0,
            "between_images": 5.0,
        }
    )
    table = statistics.variance_components(replicates, variance, by=()).set_index("component")
    assert table.loc["between_replicates", "variance"] == pytest.approx((2.0 + 2.0) / 3)
    assert table.loc["monte_carlo", "share"] == pytest.approx(3.0 / (4.0 / 3 + 8.0))
    assert table["trials"].tolist() == [2, 2, 2]


def test_the_k1_ratio_contains_one_as_often_as_promised(tmp_path: Path) -> None:
    sweep = tables.load(
        synthetic.write(
            tmp_path, trials=400, epochs=1, variance_study=True, gradients=False, evidence=False, pictures=False
        )
    )
    ratios = statistics.predicted_vs_measured(tables.joined(sweep))
    share = statistics.share_containing_one(ratios).iloc[0]
    assert share["n"] == 400
    assert share["share"] == pytest.approx(0.99, abs=4 * np.sqrt(0.99 * 0.01 / 400))
    assert share["low"] < share["share"] < share["high"]
    assert ratios["standard_error"].iloc[0] == pytest.approx(0.004 / np.sqrt(3))


def test_k3s_divergence_shows_in_the_draws_that_carry_it() -> None:
    """On real draws: k3 of a posterior with sigma^2 = 0.3 has infinite variance, and few draws make up the sample's."""
    rng = np.random.default_rng(12)
    z = np.sqrt(0.3) * rng.normal(size=(64, 1024))
    log_ratio = 0.5 * (z**2 / 0.3 - z**2) + 0.5 * np.log(0.3)
    rows = []
    for quantity, values in (("k1", -log_ratio), ("k3", np.exp(log_ratio) - 1 - log_ratio)):
        kurtosis = stats.kurtosis(values, axis=1).mean()
        rows.append((0, quantity, "iid", 1, values.var(axis=1, ddof=1).mean(), kurtosis, np.nan, 1024))
    names = ["replicate", "quantity", "sampling", "num_samples", "variance", "excess_kurtosis", "predicted", "draws"]
    row = statistics.k3_divergence(pd.DataFrame(rows, columns=names), by=()).iloc[0]
    assert bool(row["unreliable"])
    assert row["carrying_draws"] < 30
    assert row["ratio"] > 1
    assert row["k1_variance"] == pytest.approx(0.5 * 0.7**2, rel=0.1)


def test_the_bias_of_prior_monte_carlo_is_averaged_over_replicates(sweep: tables.Sweep) -> None:
    evidence = tables.joined(sweep, "evidence")
    curve = statistics.prior_monte_carlo_curve(evidence, "model.latent_dim")
    own = evidence[evidence["estimator"] == "prior_monte_carlo"]
    for row in curve.to_dict("records"):
        same = own[(own["model.latent_dim"] == row["model.latent_dim"]) & (own["num_draws"] == row["num_draws"])]
        means = same.groupby(["trial", "replicate"])["bias"].mean()
        interval = stats.ttest_1samp(means, 0.0).confidence_interval(0.95)
        assert [row["n"], row["mean"]] == [len(means), pytest.approx(means.mean())]
        assert [row["low"], row["high"]] == pytest.approx([interval.low, interval.high])
        assert row["expected_draws"] == pytest.approx(np.exp(same["kl"].mean()))
        assert np.isnan(row["expected"]) == (row["num_draws"] < row["expected_draws"])


def test_draws_needed_are_counted_image_by_image(sweep: tables.Sweep) -> None:
    evidence = tables.joined(sweep, "evidence")
    needed = statistics.draws_needed(evidence, tolerance=1.0)
    own = evidence[evidence["estimator"] == "prior_monte_carlo"]
    for row in needed.sample(20, random_state=0).to_dict("records"):
        same = own[
            (own["trial"] == row["trial"]) & (own["replicate"] == row["replicate"]) & (own["image"] == row["image"])
        ]
        enough = same.loc[same["bias"].abs() <= 1.0, "num_draws"]
        assert row["enough"] == (len(enough) > 0)
        assert row["draws_needed"] == pytest.approx(enough.min() if len(enough) else np.nan, nan_ok=True)
    assert needed.groupby(needed["kl"].round(-1))["enough"].mean().is_monotonic_decreasing


def test_efficiency_is_variance_times_time(sweep: tables.Sweep) -> None:
    variance = tables.joined(sweep, "variance")
    table = statistics.efficiency(variance)
    row = table[(table["quantity"] == "k1") & (table["sampling"] == "sobol") & (table["num_samples"] == 8)].iloc[0]
    same = variance[(variance["quantity"] == "k1") & (variance["sampling"] == "sobol") & (variance["num_samples"] == 8)]
    same = same[same["model.latent_dim"] == row["model.latent_dim"]]
    assert row["mean"] == pytest.approx((same["variance"] * same["seconds"]).mean())
    assert row["n"] == len(same)


# --- selection ------------------------------------------------------------------------------------------------------


def test_outcomes_count_every_trial_once(sweep: tables.Sweep) -> None:
    table = statistics.outcomes(sweep.trials)
    assert table["n"].sum() == len(sweep.trials)
    assert table["share"].sum() == pytest.approx(1.0)
    assert table.groupby("outcome")["n"].sum().to_dict() == {
        "finished": len(sweep.trials) - 4,
        "suspect": 1,
        "stopped": 2,
        "failed": 1,
    }
    assert table.loc[table["outcome"] == "failed", "reason"].item().startswith("TrainingDiverged")
    assert table.loc[table["outcome"] == "suspect", "trials"].item() == "0"


def test_time_shares_sum_to_one_and_leave_out_totals() -> None:
    trials = pd.DataFrame(
        {"seconds.training": [3.0, 5.0], "seconds.tracking": [2.0, np.nan], "seconds.total": [9.0, 9.0]}
    )
    table = statistics.time_shares(trials).set_index("component")
    assert table["seconds"].to_dict() == {"training": 8.0, "tracking": 2.0}
    assert table["share"].tolist() == [0.8, 0.2]
    assert table["n"].tolist() == [2, 1]


def test_search_history_is_a_running_best_of_finished_trials(sweep: tables.Sweep) -> None:
    table = statistics.search_history(sweep.trials)
    finished = sweep.trials[sweep.trials["status"] == "finished"]
    assert table["trial"].tolist() == finished["trial"].tolist()
    assert table["best"].tolist() == np.maximum.accumulate(finished["validation.elbo"]).tolist()
    assert table["is_best"].tolist() == [
        value == best and value > before
        for value, best, before in zip(table["value"], table["best"], [-np.inf, *table["best"].iloc[:-1]])
    ]


@pytest.mark.parametrize("seed", range(5))
def test_the_pareto_front_is_what_nobody_beats(seed: int) -> None:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {"bound": rng.integers(0, 8, 60).astype(float), "seconds": rng.integers(0, 8, 60).astype(float)}
    )
    frame.loc[0, "bound"] = np.nan
    front = statistics.pareto_front(frame, maximise=["bound"], minimise=["seconds"])["front"]
    for i, row in frame.iterrows():
        beaten = (
            (frame["bound"] >= row["bound"])
            & (frame["seconds"] <= row["seconds"])
            & ((frame["bound"] > row["bound"]) | (frame["seconds"] < row["seconds"]))
        ).any()
        assert front[i] == (not beaten and not np.isnan(row["bound"]))


def test_the_headline_number_comes_from_fresh_seeds(replicates: pd.DataFrame) -> None:
    table = statistics.best_configurations(replicates, count=None)
    confirmed = table[table["confirmed"]]
    assert len(confirmed) == 2
    for row in confirmed.to_dict("records"):
        own = replicates[(replicates["config_hash"] == row["config_hash"]) & (replicates["phase"] == "confirm")]
        assert row["mean"] == pytest.approx(own["test.elbo"].mean())
        assert row["n"] == len(own) == 5
        assert row["optimism"] == pytest.approx(row["search_mean"] - row["mean"])
    rest = table[~table["confirmed"]]
    assert rest["note"].str.contains("biased upwards").all()
    assert rest["optimism"].isna().all()
    searched = replicates[replicates["phase"] != "confirm"].groupby("config_hash")["validation.elbo"].mean()
    assert table["config_hash"].tolist() == searched.sort_values(ascending=False).index.tolist()


def test_the_winner_of_a_search_is_biased_and_its_confirmation_is_not() -> None:
    """Forty equal configurations: the search's best looks better than it is; fresh seeds tell the truth."""
    rng, optimism, headline = np.random.default_rng(13), [], []
    for _ in range(25):
        search = pd.DataFrame({"config_hash": np.repeat([f"{i:02d}" for i in range(40)], 3), "phase": "search"})
        confirm = pd.DataFrame({"config_hash": np.repeat([f"{i:02d}" for i in range(40)], 3), "phase": "confirm"})
        frame = pd.concat([search, confirm], ignore_index=True)
        frame["trial"], frame["test.elbo"] = 0, rng.normal(size=len(frame))
        frame["validation.elbo"] = frame["test.elbo"]
        best = statistics.best_configurations(frame, count=1).iloc[0]
        optimism.append(best["search_mean"])
        headline.append(best["mean"])
    assert np.mean(optimism) > 0.8
    assert abs(np.mean(headline)) < 4 * stats.sem(headline)


def test_the_best_of_each_dimension(replicates: pd.DataFrame) -> None:
    table = statistics.best_configurations(replicates, per="model.latent_dim", count=1)
    assert table["model.latent_dim"].tolist() == [2, 4, 8, 16]
    assert table["rank"].tolist() == [1, 1, 1, 1]


def test_calibration_is_summed_up() -> None:
    frame = pd.DataFrame({"estimator": ["a", "b", "c", "d"], "z_score": [0.1, -6.0, 2.5, np.nan]})
    row = statistics.calibration_summary(frame).iloc[0]
    assert [row["n"], row["beyond_2"], row["beyond_limit"], row["largest"], row["estimator"]] == [3, 2, 1, 6.0, "b"]


# --- sweeps that lack something --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"failed": 10**6},
        {"trials": 1},
        {"trials": 1, "replicates": 1},
        {"dims": (4,), "replicates": 1},
        {"variance_study": False, "gradients": False, "evidence": False, "calibration": False},
        {"hostile": True, "failed": 1},
    ],
)
def test_every_statistic_has_an_answer_for_every_kind_of_sweep(tmp_path: Path, options: dict) -> None:
    sweep = tables.load(synthetic.write(tmp_path, pictures=False, epochs=2, **options))
    replicates, variance = tables.joined(sweep), tables.joined(sweep, "variance")
    gradients, evidence = tables.joined(sweep, "gradients"), tables.joined(sweep, "evidence")
    finished = int((sweep.trials["status"] == "finished").sum())
    studied = finished > 0 and options.get("variance_study", True)
    assert len(statistics.summarise(replicates, "test.elbo", "model.latent_dim")) <= finished
    assert len(statistics.knee(replicates, "test.elbo")) == (finished > 0)
    assert len(statistics.variance_slopes(variance)) == (24 if studied else 0)
    assert len(statistics.gradient_slopes(gradients)) == (10 if studied else 0)
    assert len(statistics.variance_components(replicates, variance)) % 3 == 0
    assert len(statistics.predicted_vs_measured(replicates)) == (finished if studied else 0)
    assert statistics.share_containing_one(statistics.predicted_vs_measured(replicates))["n"].item() >= 0
    assert statistics.k3_divergence(variance).empty != studied
    assert statistics.prior_monte_carlo_curve(evidence).empty != studied
    assert statistics.draws_needed(evidence).empty != studied
    assert statistics.efficiency(variance).empty != studied
    assert statistics.outcomes(sweep.trials)["n"].sum() == len(sweep.trials)
    assert len(statistics.search_history(sweep.trials)) == finished
    assert len(statistics.best_configurations(replicates)) <= finished
    assert statistics.per_dimension_counts(sweep.trials, sweep.replicates)["trials"].sum() == len(sweep.trials)
    assert len(statistics.calibration_summary(sweep.calibration)) == 1
    statistics.paired_differences(replicates, "test.elbo", "kl.estimator")
