"""What a reader must know before believing anything else: the warnings that open the report, each one sentence."""

from __future__ import annotations

from analysis.pages.overview import answers
from analysis.tables import Sweep


def warnings(sweep: Sweep) -> list[str]:
    """The warnings that apply, the gravest first; none for a sweep that there is nothing to say against."""
    said = [answers.unfinished(sweep), answers.without_z(sweep), answers.other_bound(sweep)]
    return [sentence for sentence in said if sentence]
