"""The glossary: what the terms of the report mean; its text links here."""

from __future__ import annotations

from analysis.document.blocks import Glossary, Page
from analysis.document.glossary import TERMS
from analysis.tables import Sweep


def page(sweep: Sweep) -> Page:
    """Every term, whatever the sweep."""
    return Page("glossary", "Glossary", "", (Glossary(TERMS),))
