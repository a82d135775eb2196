"""Which replicates the curves rest on: designs, winners of a search, confirmations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from report_pages import sweep

from analysis import tables
from analysis.document.blocks import Table
from analysis.pages.elbo_vs_dimension.page import page as page_of
from analysis.statistics.headline import headline


def test_the_curve_holds_the_designed_trials_with_their_confirmation(tmp_path: Path) -> None:
    data = sweep(tmp_path, search_trials=4, confirm_trials=1)
    chosen = headline(data)
    assert set(chosen.replicates["phase"]) == {"factorial", "confirm"}
    assert set(chosen.passed["phase"]) == {"search"}
    assert len(chosen.replicates) + len(chosen.passed) == len(data.replicates)
    assert list(chosen.series) == ["closed form", "Monte Carlo (k1)"]
    assert chosen.unit is None


def test_a_search_shows_the_best_of_each_cell_on_fresh_seeds(tmp_path: Path) -> None:
    data = sweep(tmp_path, search_trials=30)
    trials = data.trials.assign(phase=np.where(data.trials["trial"] < 4, "search", data.trials["phase"]))
    pick = trials["trial"].isin(trials.loc[trials["phase"] == "search", "trial"].tail(1))
    best = trials[pick].assign(trial=1000, phase="confirm")
    fresh = data.replicates[data.replicates["trial"] == trials.loc[pick, "trial"].item()].assign(trial=1000)
    searched = tables.Sweep(
        **{
            **vars(data),
            "trials": pd.concat([trials, best], ignore_index=True),
            "replicates": pd.concat([data.replicates, fresh], ignore_index=True),
        }
    )
    chosen = headline(searched)
    cells = chosen.replicates.groupby(["model.latent_dim", "series"])["config_hash"].nunique()
    assert (cells == 1).all()  # one configuration a point
    everything = pd.concat([chosen.replicates, chosen.passed])
    for (dimension, estimator), cell in everything.groupby(["model.latent_dim", "kl.estimator"]):
        ranked = cell[cell["phase"] != "confirm"].groupby("config_hash")["validation.elbo"].mean()
        kept = chosen.replicates
        kept = kept[(kept["model.latent_dim"] == dimension) & (kept["kl.estimator"] == estimator)]
        assert set(kept["config_hash"]) == {ranked.idxmax()}
        assert kept["phase"].nunique() == 1
    assert "biased upwards" in chosen.basis


def test_a_confirmed_curve_rests_on_fresh_seeds_alone(tmp_path: Path) -> None:
    data = sweep(tmp_path, search_trials=4)
    best = data.trials[data.trials["status"] == "finished"].sort_values("validation.elbo", ascending=False)
    best = best.drop_duplicates("model.latent_dim")
    fresh = best.assign(trial=best["trial"] + 1000, phase="confirm")
    measured = data.replicates[data.replicates["trial"].isin(best["trial"])]
    confirmed = tables.Sweep(
        **{
            **vars(data),
            "trials": pd.concat([data.trials, fresh], ignore_index=True),
            "replicates": pd.concat(
                [data.replicates, measured.assign(trial=measured["trial"] + 1000)], ignore_index=True
            ),
        }
    )
    chosen = headline(confirmed)
    assert set(chosen.replicates["phase"]) == {"confirm"}
    assert set(chosen.dimensions) == set(data.trials["model.latent_dim"])
    assert (chosen.replicates.groupby("model.latent_dim")["config_hash"].nunique() == 1).all()
    assert len(chosen.replicates) + len(chosen.passed) == len(confirmed.replicates)
    assert "fresh seeds: free of the winner's curse" in chosen.basis
    page = page_of(confirmed)
    tables_ = {block.name: block for block in page.blocks if isinstance(block, Table)}
    assert "paired_differences" in tables_, "the design still compares the estimators"
