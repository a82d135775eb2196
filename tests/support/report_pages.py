"""Small synthetic sweeps and the pages of their report, for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure as Canvas
from synthetic import write

from analysis import tables
from analysis.document.blocks import Figure, Findings, Heading, Note, Opening, Page, Text
from analysis.figures import theme

SMALL: dict[str, Any] = {"dims": (2, 8), "num_samples": (1,), "search_trials": 2, "confirm_trials": 1, "epochs": 3}
NOTHING = {"variance_study": False, "gradients": False, "evidence": False, "calibration": False, "pictures": False}


def sweep(tmp_path: Path, **options: Any) -> tables.Sweep:
    """A sweep of two dimensions and two estimators, without a search unless asked for."""
    return tables.load(write(tmp_path / "run", **{**SMALL, "search_trials": 0, "confirm_trials": 0, **options}))


def draw(page: Page) -> list[Canvas]:
    """Every figure of a page, drawn but not saved."""
    canvases = []
    with mpl.rc_context(theme.rc()):
        for block in page.blocks:
            figure = block.figure if isinstance(block, Opening) else block
            for panel in figure.panels if isinstance(figure, Figure) else ():
                canvas = Canvas(figsize=panel.size)
                panel.draw(canvas.add_subplot())
                canvases.append(canvas)
    return canvases


def notes(page: Page) -> str:
    """What a page says of what is absent or in doubt."""
    return " ".join(block.text for block in page.blocks if isinstance(block, Note))


def words(pages: list[Page]) -> str:
    """Everything that pages say in sentences: answers, notes, headings, captions; no tables, nothing drawn."""
    said: list[str] = []
    for block in (block for page in pages for block in page.blocks):
        if isinstance(block, (Heading, Note, Text)):
            said.append(block.text)
        elif isinstance(block, Findings):
            said += block.sentences
        elif isinstance(block, Figure):
            said += [block.sentence, block.caption]
        elif isinstance(block, Opening):
            said += [block.line, *block.warnings, *(sentence for _, sentence in block.answers)]
    return "\n".join(said)
