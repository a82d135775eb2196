"""The overview: the first screen with the curve and its answers, further answers, and the best configurations."""

from __future__ import annotations

from analysis.document.blocks import Page
from analysis.pages.overview import best, opening
from analysis.tables import Sweep


def page(sweep: Sweep) -> Page:
    """The curve beside the answers, what to beware of, what is best."""
    return Page("overview", "Overview", "", (*opening.blocks(sweep), *best.blocks(sweep)))
