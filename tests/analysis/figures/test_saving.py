"""Files are the same bytes every time; a page's figure follows the page and asks for nothing."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
from drawn_curve import against

from analysis.figures import saving, theme


def test_files_are_the_same_bytes_every_time(tmp_path: Path, points: pd.DataFrame, means: pd.DataFrame) -> None:
    for name in ("first", "second"):
        saving.save(lambda axes: against(axes, points, means), tmp_path / name / "curve", theme.SMALL)
    for suffix in ("svg", "png", "pdf"):
        first, second = ((tmp_path / name / f"curve.{suffix}").read_bytes() for name in ("first", "second"))
        assert first == second
        assert len(first) > 2000


def test_inline_svg_follows_the_page_and_asks_for_nothing(points: pd.DataFrame, means: pd.DataFrame) -> None:
    text = saving.inline(saving.svg(lambda axes: against(axes, points, means), theme.SMALL))
    assert text.startswith("<svg")
    assert "http" not in text
    assert "var(--ink)" in text
    assert not any(fixed in text for fixed in (theme.INK, theme.MUTED, theme.GRID, theme.PAPER))
    assert not re.search(r'<svg[^>]* (width|height)="', text)
    for reference in re.findall(r"#([\w-]+)", text):
        assert f'id="{reference}"' in text or re.fullmatch(r"[0-9a-f]{6}", reference)
