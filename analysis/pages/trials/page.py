"""The trials: what was swept, how they ended, every one of them, how the search went, what they cost."""

from __future__ import annotations

from analysis.document.blocks import Page
from analysis.pages.trials import counts, every_trial, fronts, search, swept, time
from analysis.statistics.headline import headline
from analysis.tables import Sweep


def page(sweep: Sweep) -> Page:
    """Settings, outcomes with every reason, all trials, the search, the Pareto fronts, the time."""
    blocks = [
        *swept.blocks(sweep),
        *every_trial.blocks(sweep),
        *counts.blocks(sweep, headline(sweep)),
        *search.blocks(sweep),
        *fronts.blocks(sweep),
        *time.blocks(sweep),
    ]
    return Page("trials", "The trials", "Every configuration of the sweep, and how it ended.", tuple(blocks))
