"""The page on the bound against the latent dimension: curve, best D, parts, and what factors do."""

from __future__ import annotations

import numpy as np

from analysis.document.blocks import Block, Heading, Note, Page
from analysis.pages.elbo_vs_dimension import blind, carried, comparison, curve, parts, shares, which_dimension
from analysis.statistics.headline import headline
from analysis.tables import Sweep
from analysis.wording import listed


def page(sweep: Sweep) -> Page:
    """The curve and its parts, the probabilities of each D, the effect of each factor."""
    title, lead = (
        "ELBO against latent dimension",
        "What another latent dimension buys, and whether the KL estimator and other factors matter.",
    )
    chosen = headline(sweep)
    bound = chosen.judged.value
    if bound not in chosen.replicates or not np.isfinite(chosen.replicates[bound]).any():
        note = Note(f"No finished trial has a {bound}, so there is no curve. {_statuses(sweep)}")
        return Page("elbo-vs-dimension", title, lead, (note,))
    blocks: list[Block] = []
    if len(chosen.dimensions) == 1:
        blocks.append(
            Note(
                f"Every trial of the curve has D = {chosen.dimensions[0]}: one point is not a curve, and "
                "it cannot say which D is best."
            )
        )
    blocks += [curve.bound(sweep, chosen), *which_dimension.blocks(chosen)]
    if len(chosen.dimensions) > 1:
        blocks += [Heading("What the bound is made of, and where it is lost", folded=True), parts.parts(chosen)]
    blocks += [
        parts.table(chosen),
        *blind.blocks(chosen),
        *carried.blocks(chosen),
        *shares.blocks(sweep),
        *comparison.blocks(sweep, chosen),
    ]
    return Page("elbo-vs-dimension", title, lead, tuple(blocks))


def _statuses(sweep: Sweep) -> str:
    """How many trials ended in which way."""
    ended = sweep.trials["status"].value_counts()
    return (
        f"Trials: {listed([f'{n} {status}' for status, n in ended.items()])}."
        if len(ended)
        else "The sweep has no trial yet."
    )
