"""The curve's sentence is computed; the exact curve stands beside linear models only."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure as Canvas
from report_pages import sweep
from synthetic_truth import FLOOR

from analysis.pages.elbo_vs_dimension.curve import bound, sentence
from analysis.statistics.headline import headline


def test_bound_sentence_names_the_best_point_and_the_floor(tmp_path: Path) -> None:
    data = sweep(tmp_path)
    chosen = headline(data)
    figure = bound(data, chosen)
    top = chosen.replicates.groupby(["model.latent_dim", "series"])["test.elbo"].mean().max()
    assert f"{top:.1f}".replace("-", "−")[:5] in figure.sentence
    assert f"{top - FLOOR:.1f} nats above a histogram that uses no z" in figure.sentence
    assert "D* = 8" in figure.sentence


def test_a_knee_is_as_sure_as_its_interval() -> None:
    means = pd.DataFrame(
        {"model.latent_dim": [2, 8], "mean": [-20.0, -10.0], "low": -20.5, "high": -9.5, "series": "closed form"}
    )
    sure = {"knee": 8.0, "best": 8.0, "low": 8.0, "high": 8.0}
    for knee, words in ((sure, "no smaller D comes within"), (sure | {"low": 2.0}, "a smaller D may do as well")):
        assert words in sentence(means, pd.Series(knee), float("nan"))


def test_the_exact_curve_is_shown_beside_linear_models_only(tmp_path: Path) -> None:
    data = sweep(tmp_path)
    linear = data.trials.assign(**{"model.network.name": "linear"})
    for trials, shown in ((data.trials, False), (linear, True)):
        one = replace(data, trials=trials)
        canvas = Canvas()
        axes = canvas.add_subplot()
        bound(one, headline(one)).panels[0].draw(axes)
        assert ("exact pPCA" in axes.get_legend_handles_labels()[1]) is shown
