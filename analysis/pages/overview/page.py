"""The overview: the answers, what was swept, how it ended, what is best, how the search went, where the time went."""

from __future__ import annotations

from analysis.document.blocks import Page
from analysis.pages.overview import answers, best, fronts, search, swept, time
from analysis.tables import Sweep


def page(sweep: Sweep) -> Page:
    """Outcomes with every reason, the best configurations, the search, the Pareto fronts, the time."""
    blocks = [
        *answers.blocks(sweep),
        swept.tiles(sweep),
        *swept.blocks(sweep),
        *best.blocks(sweep),
        *search.blocks(sweep),
        *fronts.blocks(sweep),
        *time.blocks(sweep),
    ]
    return Page("overview", "Overview", "", tuple(blocks))
