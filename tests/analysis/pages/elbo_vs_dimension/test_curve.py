"""The curve's sentence is computed; the exact curve is drawn beside linear models and written beside others."""

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
    points = chosen.replicates.groupby(["model.latent_dim", "series"])[["validation.elbo", "test.elbo"]].mean()
    top = points.loc[points["validation.elbo"].idxmax(), "test.elbo"]  # chosen without the test split
    assert f"{top:.1f}".replace("-", "−")[:5] in figure.sentence
    assert f"{top - FLOOR:.1f} nats above a histogram that uses no z" in figure.sentence
    assert "D* = 8" in figure.sentence


def test_the_sufficient_dimension_is_said_with_its_probability_or_why_not() -> None:
    means = pd.DataFrame(
        {"model.latent_dim": [2, 8], "mean": [-20.0, -10.0], "low": -20.5, "high": -9.5, "series": "closed form"}
    )
    sure = {"sufficient": 8.0, "low": 8.0, "high": 8.0, "probability": 0.99, "tolerance": 0.5, "seeds": 3, "note": ""}
    point = means.iloc[1]
    text = sentence(means, pd.Series(sure), float("nan"), point)
    assert "within 0.50 nats of the best is D* = 8 with probability 0.99 (no other" in text
    text = sentence(means, pd.Series(sure | {"low": 2.0}), float("nan"), point)
    assert "95 % interval 2 to 8" in text
    text = sentence(means, pd.Series(sure | {"low": 2.0, "seeds": 2}), float("nan"), point)
    assert "2 seeds cannot say which is D*, the smallest within 0.50 nats of the best (95 % interval 2 to 8)" in text
    silent = pd.Series(sure | {"sufficient": float("nan"), "note": "one seed at all dimensions"})
    assert "which D is best cannot be said (one seed at all dimensions)" in sentence(means, silent, float("nan"), point)


def test_the_exact_curve_is_drawn_beside_linear_models_and_written_beside_others(tmp_path: Path) -> None:
    data = sweep(tmp_path)
    linear = data.trials.assign(**{"model.network.name": "linear"})
    for trials, shown in ((data.trials, False), (linear, True)):
        one = replace(data, trials=trials)
        canvas = Canvas()
        axes = canvas.add_subplot()
        bound(one, headline(one)).panels[0].draw(axes)
        assert ("exact pPCA" in axes.get_legend_handles_labels()[1]) is shown
        assert any("exact pPCA: " in text.get_text() for text in axes.texts) is not shown
