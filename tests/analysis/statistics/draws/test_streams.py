"""Which rows share their draws, in tables that say so and in older ones; which are one number under two names."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.statistics import distinct
from analysis.statistics.draws.streams import sharing, with_streams

ROWS = pd.DataFrame({"trial": [0, 0, 1, 1], "replicate": [0, 1, 0, 1]})


def test_named_streams_are_told_apart() -> None:
    assert sharing(ROWS.assign(stream=list("abcd"))) == (2, 4, False)
    assert sharing(ROWS.assign(stream=list("abca"))) == (2, 3, True)


def test_one_trial_shares_with_none() -> None:
    assert sharing(ROWS.head(2)) == (1, 2, False)


def test_tables_without_streams_shared_them_by_replicate() -> None:
    assert sharing(ROWS) == (2, 2, True)
    assert with_streams(ROWS)["stream"].tolist() == ["replicate 0", "replicate 1"] * 2
    mixed = with_streams(ROWS.assign(stream=["a", None, "b", None]))
    assert mixed["stream"].tolist() == ["a", "replicate 1", "b", "replicate 1"]
    assert sharing(mixed) == (2, 3, True)


def test_a_number_with_two_names_counts_once_and_never_vanishes() -> None:
    names = ["elbo_monte_carlo", "iwae", "iwae", "elbo_closed_form", "reconstruction"]
    rows = pd.DataFrame({"quantity": names, "num_importance_samples": [np.nan, 1.0, 8.0, np.nan, np.nan]})
    assert distinct(rows).index.tolist() == [0, 2, 3]
    assert distinct(rows.iloc[[1, 2, 4]]).index.tolist() == [1, 2, 4], "the other name is not there"
