"""Components of the variance recover the truth; k3's divergence shows in the draws that carry it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import synthetic
import synthetic_truth as truth
from scipy import stats

from analysis import statistics, tables
from analysis.statistics import planning


def test_variance_components_recover_the_truth(sweep: tables.Sweep, replicates: pd.DataFrame) -> None:
    measured = planning.measured(sweep)
    table = statistics.variance_components(measured[(measured["num_samples"] == 4) & (measured["sampling"] == "iid")])
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


def test_each_share_has_the_interval_of_its_own_variance() -> None:
    measured = pd.DataFrame(
        {
            "quantity": "elbo_closed_form",
            "num_importance_samples": np.nan,
            "num_samples": [1],
            "between_replicates": 4.0 / 3,
            "replicate_degrees": 3.0,
            "between_images": 5.0,
            "image_degrees": 99.0,
            "monte_carlo": 3.0,
        }
    )
    table = statistics.variance_components(measured, by=()).set_index("component")
    assert table["variance"].to_dict() == {"between_replicates": 4.0 / 3, "between_images": 5.0, "monte_carlo": 3.0}
    assert table.loc["monte_carlo", "share"] == pytest.approx(3.0 / (4.0 / 3 + 8.0))
    seeds = table.loc["between_replicates"]
    low, high = 4.0 / stats.chi2.ppf([0.975, 0.025], 3)
    assert seeds[["low", "high"]].tolist() == pytest.approx([low, high])
    assert seeds[["share_low", "share_high"]].tolist() == pytest.approx([low / (low + 8.0), high / (high + 8.0)])
    assert np.isnan(table.loc["monte_carlo", "share_low"])


def test_one_seed_leaves_the_shares_of_what_is_known(tmp_path: Path) -> None:
    data = tables.load(synthetic.write(tmp_path, replicates=1, pictures=False))
    measured = planning.measured(data)
    table = statistics.variance_components(measured[measured["sampling"] == "iid"])
    seeds = table["component"] == "between_replicates"
    assert table.loc[seeds, ["variance", "low", "high", "share"]].isna().all(axis=None)
    cells = table[~seeds].groupby(
        ["model.latent_dim", "quantity", "num_importance_samples", "num_samples"], dropna=False
    )
    assert cells["share"].sum().to_numpy() == pytest.approx(1.0)


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


@pytest.mark.parametrize("draws", [16, 64, 90, 512])
@pytest.mark.parametrize(
    ("kurtosis", "infinite", "unreliable"), [(0.0, False, False), (60.0, False, True), (0.0, True, True)]
)
def test_few_draws_alone_do_not_make_k3_unreliable(
    draws: int, kurtosis: float, infinite: bool, unreliable: bool
) -> None:
    """A normal variable's variance rests on a third of its draws, however few they are."""
    rows = [(quantity, "iid", 1, 1.0, kurtosis, infinite, draws) for quantity in ("k1", "k3")]
    names = ["quantity", "sampling", "num_samples", "variance", "excess_kurtosis", "infinite", "draws"]
    row = statistics.k3_divergence(pd.DataFrame(rows, columns=names), by=()).iloc[0]
    assert row["unreliable"] == unreliable
    assert row["carrying_draws"] == pytest.approx(max(1.0, draws / (kurtosis + 3.0)))


def test_efficiency_is_variance_times_time(sweep: tables.Sweep) -> None:
    variance = tables.joined(sweep, "variance")
    table = statistics.efficiency(variance)
    row = table[(table["quantity"] == "k1") & (table["sampling"] == "sobol") & (table["num_samples"] == 8)].iloc[0]
    same = variance[(variance["quantity"] == "k1") & (variance["sampling"] == "sobol") & (variance["num_samples"] == 8)]
    same = same[same["model.latent_dim"] == row["model.latent_dim"]]
    assert row["mean"] == pytest.approx((same["variance"] * same["seconds"]).mean())
    assert row["n"] == len(same)
