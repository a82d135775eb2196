"""Training curves are of the best trial, and of the best of each dimension."""

from __future__ import annotations

import re
from pathlib import Path

from report_pages import draw, sweep

from analysis.document.blocks import Figure, Page
from analysis.pages.pictures import training_curves


def test_training_curves_are_of_the_best_trial_and_of_each_dimension(tmp_path: Path) -> None:
    data = sweep(tmp_path, variance_study=False)
    ranked = data.trials.sort_values("validation.elbo", ascending=False)
    block = training_curves.blocks(data, ranked)[1]
    assert isinstance(block, Figure)
    canvases = draw(Page("p", "t", "", (block,)))
    best = int(ranked["trial"].iloc[0])
    assert canvases[0].axes[0].get_title(loc="left") == f"Trial {best}, every replicate"
    assert len(canvases[0].axes[0].lines) == 2 * 3  # train and validation of three replicates
    assert canvases[1].axes[0].get_legend_handles_labels()[1] == ["D = 2", "D = 8"]
    assert re.match(r"\d+ of \d+ replicates had their best", block.sentence)
