"""Files are the same bytes every time; a page's figure follows the page and asks for nothing."""

from __future__ import annotations

import re
from pathlib import Path

import figure_faults
import matplotlib as mpl
import pandas as pd
from drawn_curve import against
from matplotlib.axes import Axes

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


def test_a_pdf_holds_truetype_of_a_font_cut_once(tmp_path: Path, points: pd.DataFrame, means: pd.DataFrame) -> None:
    saving.save(lambda axes: against(axes, points, means), tmp_path / "curve", theme.SMALL)
    text = (tmp_path / "curve.pdf").read_bytes()
    assert b"/Subtype /Type3" not in text
    assert b"/Subtype /CIDFontType2" in text
    assert b"elbosweepSans" in text


def test_ids_of_two_figures_of_a_page_differ(points: pd.DataFrame, means: pd.DataFrame) -> None:
    drawn = saving.svg(lambda axes: against(axes, points, means), theme.SMALL)
    one, other = (set(re.findall(r' id="([^"]+)"', saving.inline(drawn, name))) for name in ("one", "other"))
    assert one
    assert one.isdisjoint(other)


def test_a_title_longer_than_its_axes_stays_inside(points: pd.DataFrame) -> None:
    def draw(axes: Axes) -> None:
        axes.set_yticks([0], ["a label that leaves hardly any room for the axes"])
        axes.set_title("A title that is longer than the axes")

    figure = saving.drawn(draw, theme.SMALL)
    title = figure.axes[0].set_title(figure.axes[0].get_title("left"), loc="left")
    assert title.get_window_extent().x1 <= figure.bbox.x1
    assert title.get_window_extent().x0 >= figure.bbox.x0


def test_long_names_and_titles_are_broken_and_a_long_legend_takes_nothing_from_the_axes() -> None:
    def draw(axes: Axes) -> None:
        for place in range(8):
            axes.plot([1, 2], [place, place], label=f"a name with many settings, {'one more, ' * 9}{place}")
        axes.set_title("A title that names both levels of a factor, and is longer than the whole figure is wide")
        theme.legend_below(axes)

    with mpl.rc_context(theme.rc()):
        figure = saving.drawn(draw, theme.SMALL)
        figure.draw_without_rendering()
        assert figure_faults.cut(figure) == []
        assert figure_faults.overlapping(figure) == []
    assert figure.axes[0].bbox.height / figure.dpi > 0.5 * theme.SMALL[1]
