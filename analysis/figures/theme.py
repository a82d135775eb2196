"""One look for every figure: seaborn's theme, a colour-blind-safe palette, files that are the same bytes every time.

Figures are drawn on `matplotlib.figure.Figure` without pyplot: no global state, no window, no open figures to close.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import seaborn as sns
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator

INK, MUTED, GRID, PAPER = "#1f2328", "#6a737d", "#dfe3e8", "#ffffff"
# Wong (2011), Nature Methods 8:441, as seaborn ships it; the pale yellow of the set is left out: it vanishes on white.
COLOURS = ("#0173b2", "#de8f05", "#029e73", "#d55e00", "#cc78bc", "#949494", "#56b4e9", "#a0622d")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*")
LINES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (5, 1.2, 1.2, 1.2)), (0, (3, 3)))

# A series keeps its colour on every page, whatever else is drawn beside it.
FIXED_COLOURS = {
    "closed_form": COLOURS[0], "monte_carlo": COLOURS[1], "monte_carlo_k3": COLOURS[3], "cross_entropy": COLOURS[2],
    "control_variate": COLOURS[4],
    "elbo_closed_form": COLOURS[0], "elbo_monte_carlo": COLOURS[1], "elbo_control_variate": COLOURS[4],
    "k1": COLOURS[6], "k3": COLOURS[3], "reconstruction": COLOURS[7], "iwae": COLOURS[5],
    "iid": COLOURS[0], "antithetic": COLOURS[1], "sobol": COLOURS[2],
    "encoder": COLOURS[0], "decoder": COLOURS[1],
    "prior_monte_carlo": COLOURS[3], "importance": COLOURS[0], "ais": COLOURS[2],
    "training": COLOURS[0], "evaluation": COLOURS[2], "variance": COLOURS[1], "gradients": COLOURS[7],
    "pictures": COLOURS[4], "orchestration": COLOURS[3], "tracking": COLOURS[5], "suggestion": COLOURS[6],
    "search": COLOURS[0], "factorial": COLOURS[2], "refine": COLOURS[4], "confirm": COLOURS[3],
}  # fmt: skip

SMALL, ALONE = (4.5, 3.3), (4.95, 3.6)
"""Inches: a panel of small multiples (readable at phone width), and a figure that stands alone."""
DPI = 150
"""Of the PNG files."""
RASTER_FROM = 2000
"""Points from which a scatter is drawn as pixels inside the vector files: 3,000 vector points weigh a megabyte."""


def rc() -> Any:
    """Settings under which a figure is both drawn and saved."""
    settings = dict(sns.axes_style("ticks"))
    settings.update(sns.plotting_context("paper"))
    settings.update(
        {
            "axes.prop_cycle": cycler(color=COLOURS),
            "axes.edgecolor": MUTED,
            "axes.labelcolor": INK,
            "axes.titlecolor": INK,
            "axes.titlelocation": "left",
            "axes.titleweight": "bold",
            "axes.titlesize": 10,
            "axes.labelsize": 9,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "axes.grid.axis": "y",
            "axes.linewidth": 0.8,
            "axes.axisbelow": True,
            "grid.color": GRID,
            "grid.linewidth": 0.7,
            "figure.facecolor": PAPER,
            "font.family": ["sans-serif"],
            "font.sans-serif": ["DejaVu Sans"],
            "legend.frameon": False,
            "legend.fontsize": 8.5,
            "lines.linewidth": 1.5,
            "lines.markersize": 5,
            "savefig.facecolor": PAPER,
            "text.color": INK,
            "xtick.color": MUTED,
            "xtick.labelcolor": INK,
            "xtick.labelsize": 8.5,
            "xtick.major.size": 3.5,
            "xtick.minor.size": 2,
            "ytick.color": MUTED,
            "ytick.labelcolor": INK,
            "ytick.labelsize": 8.5,
            "ytick.major.size": 3.5,
            "ytick.minor.size": 2,
            # Same inputs, same bytes: SVG's ids are hashed with a fixed salt, and its text stays text.
            "svg.hashsalt": "elbosweep",
            "svg.fonttype": "none",
            # Type 3 embeds the few glyphs that are used; subsetting TrueType costs five times the rest of the file.
            "pdf.fonttype": 3,
            "path.simplify": True,
            # A dollar sign in a configuration is a dollar sign.
            "text.parse_math": False,
        }
    )
    return settings


def colour(name: object, position: int = 0) -> str:
    """The series' own colour, or the palette's at `position` for a name that has none."""
    return FIXED_COLOURS.get(str(name), COLOURS[position % len(COLOURS)])


def save(draw: Callable[[Axes], None], path: Path, size: tuple[float, float]) -> str:
    """Draw one figure, write `path` as .svg, .png and .pdf, and return its SVG for a page.

    No file holds a date: the same frame gives the same bytes.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context(rc()):
        figure = _figure(draw, size)
        # The canvases' own printers: `savefig` would draw the figure a second time for each format.
        canvas = figure.canvas
        assert isinstance(canvas, FigureCanvasAgg)  # the layout's own: it has measured every text already
        canvas.print_png(f"{path}.png", metadata={"Software": None})
        _settle(figure)
        FigureCanvasPdf(figure).print_pdf(f"{path}.pdf", metadata={"CreationDate": None})
        text = _svg(figure)
    Path(f"{path}.svg").write_text(text, encoding="utf-8")
    return inline(text)


def svg(draw: Callable[[Axes], None], size: tuple[float, float]) -> str:
    """One figure as SVG, for notebooks."""
    with mpl.rc_context(rc()):
        return _svg(_figure(draw, size))


def _figure(draw: Callable[[Axes], None], size: tuple[float, float]) -> Figure:
    figure = Figure(figsize=size, layout="constrained", dpi=DPI)
    FigureCanvasAgg(figure)
    draw(figure.add_subplot())
    # Laid out once; every format then shares the result.
    engine = figure.get_layout_engine()
    assert engine is not None  # asked for above
    engine.execute(figure)
    figure.set_layout_engine("none")
    return figure


def _settle(figure: Figure) -> None:
    """Keep title and axis labels where they were drawn last: to find their places, matplotlib measures every tick
    label four times, and again in each format."""
    for axes in figure.axes:
        if not axes.yaxis.get_offset_text().get_text():  # a title makes room for "1e6" at the top of its axis
            axes.set_title(axes.get_title("left"), y=1.0)
        for one in (axes, *axes.child_axes):
            for axis in (one.xaxis, one.yaxis):
                place = axis.label.get_transform().transform(axis.label.get_position())
                axis.set_label_coords(*one.transAxes.inverted().transform(place))


def _svg(figure: Figure) -> str:
    buffer = io.StringIO()
    FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None})
    return buffer.getvalue()


def inline(svg: str) -> str:
    """matplotlib's SVG made fit for a page: no prolog or metadata, colours that follow light and dark, no idle ids."""
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
    svg = re.sub(r"'DejaVu Sans'[^;\"]*sans-serif|'DejaVu Sans'", "var(--sans)", svg)
    used = set(re.findall(r"#([\w.-]+)", svg))
    return re.sub(r' id="([^"]+)"', lambda match: match.group() if match.group(1) in used else "", svg)


# --- axes -------------------------------------------------------------------------------------------------------------


def number(value: float) -> str:
    """A tick label without powers of ten where it can be read without: 0.001, 2, 100k."""
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 1e15 or size < 1e-4:
        return f"{value:.0e}".replace("e-0", "e−").replace("e+0", "e").replace("e-", "e−").replace("e+", "e")
    for scale, suffix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if size >= scale:
            return f"{value / scale:g}{suffix}"
    return f"{value:g}".replace("-", "−")


def log_axis(axis: Any, values: Iterable[float]) -> None:
    """A logarithmic axis with plain numbers; a linear one where positive values span less than a factor of 8.

    Within two decades, 2 and 5 are labelled too: an axis with one label cannot be read.
    """
    known = [float(value) for value in values if math.isfinite(value)]
    low, high = min(known, default=1.0), max(known, default=10.0)
    if low <= 0 or high < 8 * low:
        return
    getattr(axis.axes, f"set_{axis.axis_name}scale")("log")
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high < 100 * low else (1.0,), numticks=9))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))


def ticks_at(axis: Any, values: Iterable[float], *, log: bool) -> None:
    """Ticks at the values that were measured, thinned until their labels cannot touch."""
    values = sorted({float(value) for value in values})
    if log:
        getattr(axis.axes, f"set_{axis.axis_name}scale")("log", base=2)
    axis.set_major_locator(FixedLocator(thin(values, log=log)))
    axis.set_minor_locator(FixedLocator(values) if len(values) > 1 else NullLocator())
    axis.set_minor_formatter(NullFormatter())
    axis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
    if len(values) == 1:
        low, high = (values[0] / 2, values[0] * 2) if log else (values[0] - 1, values[0] + 1)
        getattr(axis.axes, f"set_{axis.axis_name}lim")(low, high)


def thin(values: Sequence[float], *, log: bool, least: float = 0.065) -> list[float]:
    """The values whose labels fit: neighbours at least `least` of the axis apart; powers of two win a contest."""
    if len(values) < 2:
        return list(values)
    place = math.log2 if log else float
    span = place(values[-1]) - place(values[0])
    ends = (values[0], values[-1])
    kept: list[float] = []
    for value in sorted(values, key=lambda v: (v not in ends, v <= 0 or not math.log2(v).is_integer(), v)):
        if all(abs(place(value) - place(other)) >= least * span for other in kept):
            kept.append(value)
    return sorted(kept)


def legend_below(axes: Axes, *, columns: int | None = None, title: str | None = None) -> None:
    """The legend under the axes, never over data; nothing for a single unnamed series."""
    handles, labels = axes.get_legend_handles_labels()
    unique = dict(zip(labels, handles))
    if not unique:
        return
    figure = axes.get_figure(root=True)
    assert figure is not None  # axes are drawn on a figure
    if columns is None:
        width = figure.get_size_inches()[0]
        longest = max(len(label) for label in unique)
        columns = max(1, min(len(unique), int(width * 72 / (longest * 5.2 + 42))))
    figure.legend(
        list(unique.values()), list(unique), loc="outside lower center", ncols=columns, title=title,
        handlelength=1.8, columnspacing=1.2, handletextpad=0.5,
    )  # fmt: skip
