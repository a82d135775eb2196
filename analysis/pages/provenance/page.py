"""The page on trust: every estimator against its exact value, and where the sweep's numbers come from."""

from __future__ import annotations

from analysis.document.blocks import Page
from analysis.pages.provenance import calibration, record
from analysis.tables import Sweep


def page(sweep: Sweep) -> Page:
    """Calibration table and figure, then the record of the run as `sweep.json` holds it."""
    return Page(
        "provenance",
        "Calibration and provenance",
        "Are the estimators right where the answer is known, and how can this sweep be run again?",
        (*calibration.blocks(sweep), *record.blocks(sweep)),
    )
