"""The legend of variance against L holds the slopes."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from report_pages import draw, sweep

from analysis.document.blocks import Figure
from analysis.pages.mc_variance.page import page as page_of


def test_slopes_are_in_the_legend(tmp_path: Path) -> None:
    page = page_of(sweep(tmp_path, gradients=False, evidence=False))
    slopes = next(block for block in page.blocks if isinstance(block, Figure))
    canvases = draw(replace(page, blocks=(slopes,)))
    texts = [text.get_text() for canvas in canvases for legend in canvas.legends for text in legend.get_texts()]
    assert any(re.match(r"i\.i\.d\.: slope −(1\.0|0\.99)", text) for text in texts)
    assert any(re.match(r"scrambled Sobol: slope −(2\.0|1\.99)", text) for text in texts)
    assert "slope −1" in texts
