"""The page on Monte Carlo variance: what an estimate costs in variance, and how many draws are enough."""

from __future__ import annotations

from analysis.document.blocks import Block, Note, Page
from analysis.pages.common import normal_pairs, with_dimension
from analysis.pages.mc_variance import (
    components,
    dimension,
    efficiency,
    gradients,
    k3,
    planner,
    prediction,
    prior,
    samples,
)
from analysis.statistics.answers import studied_dimension
from analysis.tables import Sweep


def page(sweep: Sweep) -> Page:
    """Variance against L, against D, in its components, times time; gradients; prior Monte Carlo; k3; the planner."""
    title = "Monte Carlo variance"
    lead = (
        "Variance of each estimator given the trained model and the image, averaged over images: what more draws buy."
    )
    variance = with_dimension(sweep, "variance")
    if variance.empty:
        note = Note("This sweep has no variance study (variance.images is 0, or no trial has finished).")
        return Page("mc-variance", title, lead, (note, *gradients.blocks(sweep), *prior.blocks(sweep)))
    at = studied_dimension(sweep, variance)
    blocks: list[Block] = [
        *samples.blocks(variance, at),
        *dimension.blocks(sweep, variance),
        *prediction.blocks(sweep),
        *efficiency.blocks(variance, at),
        *components.blocks(sweep, variance, at),
        *k3.blocks(variance, normal=normal_pairs(sweep)),
        *gradients.blocks(sweep),
        *prior.blocks(sweep),
        *planner.blocks(sweep, at),
    ]
    return Page("mc-variance", title, lead, tuple(blocks))
