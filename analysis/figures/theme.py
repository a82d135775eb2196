"""One look for every figure: seaborn's theme, a colour-blind-safe palette, sizes, the legend."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import seaborn as sns
from cycler import cycler
from matplotlib.axes import Axes

from analysis.figures.fonts import families
from analysis.tables.columns import CONFIRM, FACTORIAL, REFINE, SEARCH
from analysis.tables.kinds import places

INK, MUTED, GRID, PAPER = "#1f2328", "#6a737d", "#dfe3e8", "#ffffff"
# Wong (2011), Nature Methods 8:441, as seaborn ships it; the pale yellow of the set is left out: it vanishes on white.
COLOURS = ("#0173b2", "#de8f05", "#029e73", "#d55e00", "#cc78bc", "#949494", "#56b4e9", "#a0622d")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*")
LINES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (5, 1.2, 1.2, 1.2)), (0, (3, 3)))

PHASES = {SEARCH: COLOURS[0], FACTORIAL: COLOURS[2], REFINE: COLOURS[4], CONFIRM: COLOURS[3]}
"""A phase of a sweep keeps its colour on every page."""

SMALL, ALONE = (4.5, 3.2), (4.7, 3.7)
"""Inches: a panel of small multiples (readable at phone width), and a figure that stands alone."""
SMALLEST = 9.0
"""Points: no text of a figure is smaller."""
RASTER_FROM = 2000
"""Points from which a scatter is drawn as pixels inside the vector files: 3,000 vector points weigh a megabyte."""


SETTINGS: dict[str, Any] = {
    "axes.prop_cycle": cycler(color=COLOURS),
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.titlesize": 10,
    "axes.labelsize": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.linewidth": 0.8,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "figure.facecolor": PAPER,
    "legend.frameon": False,
    "legend.fontsize": SMALLEST,
    "lines.linewidth": 1.5,
    "lines.markersize": 5,
    "savefig.facecolor": PAPER,
    "text.color": INK,
    "xtick.color": MUTED,
    "xtick.labelcolor": INK,
    "xtick.labelsize": SMALLEST,
    "xtick.major.size": 3.5,
    "xtick.minor.size": 2,
    "ytick.color": MUTED,
    "ytick.labelcolor": INK,
    "ytick.labelsize": SMALLEST,
    "ytick.major.size": 3.5,
    "ytick.minor.size": 2,
    # Same inputs, same bytes: SVG's ids are hashed with a fixed salt, and its text stays text.
    "svg.hashsalt": "elbosweep",
    "svg.fonttype": "none",
    # TrueType: journals refuse Type 3.
    "pdf.fonttype": 42,
    "ps.fonttype": 42,
    "path.simplify": True,
    # A dollar sign in a configuration is a dollar sign.
    "text.parse_math": False,
}
"""matplotlib's settings beside seaborn's: same inputs, same bytes; text stays text."""


def rc() -> Any:
    """Settings under which a figure is both drawn and saved."""
    look = dict(sns.axes_style("ticks")) | dict(sns.plotting_context("paper")) | SETTINGS
    return look | {"font.family": families()}


def colours(names: Sequence[object], kind: str | None = None) -> list[str]:
    """A colour for each name: its own, if it is one of a kind; by its place in `names` otherwise.

    One of a kind has the colour of its place in the schema's list, whatever else is drawn beside it; one that the
    schema does not list takes the next.
    """
    order = range(len(names)) if kind is None else places(kind, names)
    return [COLOURS[place % len(COLOURS)] for place in order]


def phase_colour(phase: object) -> str:
    """The colour of a phase of a sweep; grey for one that this version does not know."""
    return PHASES.get(str(phase), COLOURS[5])


def legend_below(axes: Axes, *, columns: int | None = None, title: str | None = None) -> None:
    """The legend under the axes, never over data; nothing for a single unnamed series."""
    handles, labels = axes.get_legend_handles_labels()
    unique = dict(zip(labels, handles))
    if not unique:
        return
    figure = axes.get_figure(root=True)
    assert figure is not None  # axes are drawn on a figure
    width = figure.get_size_inches()[0]
    unique = {textwrap.fill(label, int(width * 72 / 5.2) - 9): handle for label, handle in unique.items()}
    if columns is None:
        longest = max(len(label) for label in unique)
        columns = max(1, min(len(unique), int(width * 72 / (longest * 5.2 + 42))))
    figure.legend(
        list(unique.values()), list(unique), loc="outside lower center", ncols=columns, title=title,
        handlelength=1.8, columnspacing=1.2, handletextpad=0.5,
    )  # fmt: skip
