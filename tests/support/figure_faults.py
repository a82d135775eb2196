"""What can be wrong with a drawn figure: small, cut or overlapping text, labels of mixed form, series that hide."""

from __future__ import annotations

import re
from itertools import combinations

import numpy as np
from matplotlib.axis import Axis, XAxis
from matplotlib.figure import Figure
from matplotlib.text import Text

from analysis.figures.theme import SMALLEST

TOUCHING = 1.0
"""Pixels that two texts may overlap by: their boxes are larger than their ink."""


def texts(figure: Figure) -> list[Text]:
    """Every text that is seen."""
    hidden = {id(label) for axis in axes_of(figure) for label in beyond(axis)}
    found = figure.findobj(lambda artist: isinstance(artist, Text) and artist.get_visible())
    return [text for text in found if isinstance(text, Text) and text.get_text().strip() and id(text) not in hidden]


def axes_of(figure: Figure) -> list[Axis]:
    """The x and y axis of every axes, second scales included."""
    every = [one for axes in figure.axes for one in (axes, *axes.child_axes)]
    return [axis for axes in every for axis in (axes.xaxis, axes.yaxis)]


def beyond(axis: Axis) -> list[Text]:
    """Labels of ticks that the axis does not show."""
    axes = axis.axes
    ticks = [*axis.get_major_ticks(), *axis.get_minor_ticks()]
    side = 0 if isinstance(axis, XAxis) else 1
    low, high = (axes.bbox.x0, axes.bbox.x1) if side == 0 else (axes.bbox.y0, axes.bbox.y1)
    places = [axes.transData.transform((tick.get_loc(), tick.get_loc()))[side] for tick in ticks]
    outside = [tick for tick, place in zip(ticks, places) if not low - 1 <= place <= high + 1]
    return [label for tick in outside for label in (tick.label1, tick.label2)]


def small(figure: Figure) -> list[str]:
    """Texts below the smallest size."""
    return [text.get_text() for text in texts(figure) if float(text.get_fontsize()) < SMALLEST]


def cut(figure: Figure) -> list[str]:
    """Texts that the edge of the figure cuts, and labels that were shortened."""
    edge = figure.bbox
    faults = []
    for text in texts(figure):
        box = text.get_window_extent()
        inside = box.x0 >= edge.x0 - 1 and box.y0 >= edge.y0 - 1 and box.x1 <= edge.x1 + 1 and box.y1 <= edge.y1 + 1
        if not inside or text.get_text().endswith("…"):
            faults.append(text.get_text())
    return faults


def overlapping(figure: Figure) -> list[tuple[str, str]]:
    """Pairs of texts that lie on each other."""
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts(figure)]
    return [
        (one, other)
        for (one, a), (other, b) in combinations(boxes, 2)
        if min(a.x1, b.x1) - max(a.x0, b.x0) > TOUCHING and min(a.y1, b.y1) - max(a.y0, b.y0) > TOUCHING
    ]


def mixed(figure: Figure) -> list[list[str]]:
    """Axes whose tick labels are numbers of several forms: 1e−5 beside 0.001, 10k beside 500."""
    faults = []
    for axis in axes_of(figure):
        gone = {id(label) for label in beyond(axis)}
        labels = [label.get_text() for label in axis.get_ticklabels() if id(label) not in gone]
        forms = {form(label) for label in labels if label.strip() and label != "0"}
        if len(forms - {"words"}) > 1:
            faults.append(labels)
    return faults


def form(label: str) -> str:
    """How a number is written."""
    if re.fullmatch(r"−?[\d,]*\.?\d+", label):
        return "plain"
    if re.fullmatch(r"−?(\d[\d.]*·)?10[⁰¹²³⁴⁵⁶⁷⁸⁹⁻]+", label):
        return "power"
    return "suffix" if re.fullmatch(r"[−\d.]+(k|M|G|T|e.*)", label) else "words"


def hidden(figure: Figure) -> list[tuple[str, str]]:
    """Pairs of named series of which the marks of one all lie on marks of the other; lines without marks may cross."""
    faults = []
    for axes in figure.axes:
        lines = [line for line in axes.lines if not str(line.get_label()).startswith("_") and np.size(line.get_xdata())
                 and line.get_marker() not in ("", "None", None)]  # fmt: skip
        places = [(str(line.get_label()), axes.transData.transform(np.asarray(line.get_xydata(), dtype=float)))
                  for line in lines]  # fmt: skip
        for (one, a), (other, b) in combinations(places, 2):
            gaps = np.hypot(*(a[:, None, :] - b[None, :, :]).transpose(2, 0, 1))
            if np.isfinite(gaps).any() and np.nanmax(np.nanmin(gaps, axis=1)) < 2.0:
                faults.append((one, other))
    return faults
