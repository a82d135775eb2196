"""The calibration's sentence names what is off, by the limit that the command has too."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from report_pages import sweep

from analysis.document.blocks import Figure
from analysis.pages.provenance.page import page as page_of
from analysis.tables.schema import calibration_limit


def test_calibration_that_fails_is_named(tmp_path: Path) -> None:
    data = sweep(tmp_path)
    off = data.calibration.assign(z_score=[9.5] + [0.1] * (len(data.calibration) - 1))
    page = page_of(replace(data, calibration=off))
    sentence = next(block.sentence for block in page.blocks if isinstance(block, Figure))
    assert "1 estimate of" in sentence
    assert "+9.5" in sentence


@pytest.mark.parametrize(("beyond", "words"), [(-0.1, "agree with their exact values within"), (0.1, "1 estimate of")])
def test_the_limit_is_the_schemas(tmp_path: Path, beyond: float, words: str) -> None:
    data = sweep(tmp_path)
    z = [calibration_limit() + beyond] + [0.1] * (len(data.calibration) - 1)
    page = page_of(replace(data, calibration=data.calibration.assign(z_score=z)))
    block = next(block for block in page.blocks if isinstance(block, Figure))
    assert words in block.sentence
    assert f"the band is ±{calibration_limit():g}" in block.caption
