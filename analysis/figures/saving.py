"""One drawn figure -> SVG for a page, and .svg, .png and .pdf files that are the same bytes every time.

Figures are drawn on `matplotlib.figure.Figure` without pyplot: no global state, no window, no open figures to close.
"""

from __future__ import annotations

import io
import re
import textwrap
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from analysis.figures.theme import COLOURS, GRID, INK, MUTED, PAPER, rc

DPI = 150
"""Of the PNG files."""
LEGEND = 0.2
"""Share of its height that a figure gives to its legend before it grows."""


def save(draw: Callable[[Axes], None], path: Path, size: tuple[float, float]) -> str:
    """Draw one figure, write `path` as .svg, .png and .pdf, and return its SVG for a page.

    No file holds a date: the same frame gives the same bytes.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context(rc()):
        figure = drawn(draw, size)
        # The canvases' own printers: `savefig` would draw the figure a second time for each format.
        canvas = figure.canvas
        assert isinstance(canvas, FigureCanvasAgg)  # the layout's own: it has measured every text already
        canvas.print_png(f"{path}.png", metadata={"Software": None})
        _settle(figure)
        FigureCanvasPdf(figure).print_pdf(f"{path}.pdf", metadata={"CreationDate": None})
        text = _svg(figure)
    Path(f"{path}.svg").write_text(text, encoding="utf-8")
    return inline(text, path.name)


def svg(draw: Callable[[Axes], None], size: tuple[float, float]) -> str:
    """One figure as SVG, for notebooks."""
    with mpl.rc_context(rc()):
        return _svg(drawn(draw, size))


def drawn(draw: Callable[[Axes], None], size: tuple[float, float]) -> Figure:
    """A figure that is drawn and laid out, so that every format shares the result."""
    figure = Figure(figsize=size, layout="constrained", dpi=DPI)
    FigureCanvasAgg(figure)
    draw(figure.add_subplot())
    engine = figure.get_layout_engine()
    assert engine is not None  # asked for above
    width, height = figure.get_size_inches()
    rows = sum(legend.get_window_extent().height for legend in figure.legends) / figure.dpi
    if rows > LEGEND * height:  # room for a legend of many rows is added, not taken from the axes
        figure.set_size_inches(width, height + rows - LEGEND * height)
    engine.execute(figure)
    if _break_labels(figure):
        engine.execute(figure)
    figure.set_layout_engine("none")
    _keep_title_inside(figure)
    return figure


def _break_labels(figure: Figure) -> bool:
    """Write a title or the unit of an axis label that is longer than the figure on several lines; whether any was."""
    axes = [one for axes in figure.axes for one in (axes, *axes.child_axes)]
    labels = [axis.label for one in axes for axis in (one.xaxis, one.yaxis) if axis.label.get_text()]
    edge, broken = figure.bbox, False
    for label in labels:
        box = label.get_window_extent()
        if box.x0 < edge.x0 or box.y0 < edge.y0 or box.x1 > edge.x1 or box.y1 > edge.y1:
            text = label.get_text()
            label.set_text(text.replace(" (", "\n(", 1))
            broken |= label.get_text() != text
    for one in figure.axes:
        title = one.set_title(one.get_title("left"))
        share = title.get_window_extent().width / (0.96 * edge.width)
        if share > 1:
            text = title.get_text()
            title.set_text(textwrap.fill(text, int(len(text) / share)))
            broken = True
    return broken


def _keep_title_inside(figure: Figure) -> None:
    """Move a title that begins at its axes and would end beyond the figure to the left, over the axis labels."""
    for axes in figure.axes:
        title = axes.set_title(axes.get_title("left"))
        extent, edge = title.get_window_extent(), figure.bbox.x1 - 0.02 * figure.dpi
        if extent.x1 > edge:
            left = max(figure.bbox.x0 + 0.02 * figure.dpi, extent.x0 - (extent.x1 - edge))
            title.set_x(float(axes.transAxes.inverted().transform((left, 0.0))[0]))


def _settle(figure: Figure) -> None:
    """Fix title and axis labels where they were drawn last.

    To find their places, matplotlib measures every tick label four times, and again in each format.
    """
    for axes in figure.axes:
        if not axes.yaxis.get_offset_text().get_text():  # a title makes room for "1e6" at the top of its axis
            axes.set_title(axes.get_title("left"), y=1.0)
        for one in (axes, *axes.child_axes):
            for axis in (one.xaxis, one.yaxis):
                place = axis.label.get_transform().transform(axis.label.get_position())
                axis.set_label_coords(*one.transAxes.inverted().transform(place))


def _svg(figure: Figure) -> str:
    """The figure as SVG, without a date."""
    buffer = io.StringIO()
    FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None})
    return buffer.getvalue()


def inline(svg: str, name: str = "") -> str:
    """matplotlib's SVG made fit for a page: no prolog or metadata, colours that follow light and dark, no idle ids.

    Args:
        svg: The whole file.
        name: Begins every id, so that no two figures of a page share one.
    """
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", svg).replace("xlink:href", "href")
    svg = re.sub(
        r'(<svg[^>]*?) width="[^"]*"', r"\1", re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1), count=1
    )
    themed = {INK: "--ink", MUTED: "--muted", GRID: "--grid", PAPER: "--panel", COLOURS[0]: "--blue"}
    for fixed, variable in themed.items():
        svg = svg.replace(fixed, f"var({variable})")
    svg = re.sub(r"'elbosweep Sans'(, 'DejaVu Sans')?(, sans-serif)?", "var(--sans)", svg)
    used = set(re.findall(r"#([\w.-]+)", svg))
    svg = re.sub(r' id="([^"]+)"', lambda match: match.group() if match.group(1) in used else "", svg)
    return re.sub(r'( id="|href="#|url\(#)', rf"\g<1>{name}-", svg) if name else svg
