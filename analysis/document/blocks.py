"""What a page is made of: text, tables, figures, pictures. Pages build these; `report` turns them into files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
from markupsafe import escape
from matplotlib.axes import Axes

from analysis.document.glossary import Term
from analysis.figures.saving import svg
from analysis.figures.theme import SMALL


@dataclass(frozen=True)
class Heading:
    """A heading inside a page."""

    text: str
    folded: bool = False
    """What follows, up to the next heading, is closed until it is opened; the sentence of its first figure is not."""


@dataclass(frozen=True)
class Text:
    """One paragraph of plain text."""

    text: str


@dataclass(frozen=True)
class Note:
    """Something the reader must not miss: what is absent and why, or what to distrust."""

    text: str


@dataclass(frozen=True)
class Findings:
    """The answers of the whole sweep, one sentence each."""

    sentences: tuple[str, ...]


@dataclass(frozen=True)
class Link:
    """Words that lead somewhere: to a file or folder beside the report, or to an anchor of it."""

    text: str
    path: Path | None = None
    anchor: str = ""


@dataclass(frozen=True)
class Links:
    """A cell of a table that is shown: several links, one after another."""

    items: tuple[Link, ...]


@dataclass(frozen=True)
class Table:
    """A frame that is shown (its first `rows` rows) and written whole to `tables/NAME.csv` and `.parquet`."""

    name: str
    frame: pd.DataFrame
    caption: str
    rows: int = 20
    shown: pd.DataFrame | None = None
    """The same rows written for reading (an interval as one cell); the files hold `frame`."""
    folded: bool = False
    """Closed until it is opened: what a figure beside it says already, or what few readers need."""
    tall: bool = False
    """Scrolls by itself when it has many rows."""


@dataclass(frozen=True)
class Panel:
    """One figure file: `draw` puts frames on one pair of axes and computes nothing."""

    name: str
    draw: Callable[[Axes], None]
    describes: str
    """What a reader who cannot see it is told."""
    size: tuple[float, float] = SMALL

    def _repr_svg_(self) -> str:
        """How a notebook shows it."""
        return svg(self.draw, self.size)


@dataclass(frozen=True)
class Figure:
    """Panels that are read together, the caption under them, and the sentence about this sweep."""

    panels: tuple[Panel, ...]
    caption: str
    sentence: str

    def _repr_html_(self) -> str:
        """How a notebook shows it: the panels, the caption, the sentence."""
        drawn = [svg(panel.draw, panel.size) for panel in self.panels]
        panels = "".join(f"<div>{text[text.index('<svg') :]}</div>" for text in drawn)
        return f"{panels}<p><small>{escape(self.caption)}</small></p><p><b>{escape(self.sentence)}</b></p>"


@dataclass(frozen=True)
class Opening:
    """The first screen of a report: what it is about, what to beware of, the main figure beside the answers."""

    line: str
    """What the sweep was."""
    warnings: tuple[str, ...]
    """What a reader must know before believing the rest; the first is always seen."""
    figure: Figure | None
    answers: tuple[tuple[str, str], ...]
    """Questions in a few words, each with its sentence."""


@dataclass(frozen=True)
class Glossary:
    """The definitions of the terms that the text of a report links to."""

    terms: tuple[Term, ...]


@dataclass(frozen=True)
class Picture:
    """A PNG file that a trial wrote."""

    path: Path
    caption: str
    width: int | None = None
    """CSS pixels; None: as large as the file."""


@dataclass(frozen=True)
class Gallery:
    """Pictures side by side."""

    pictures: tuple[Picture, ...]
    caption: str = ""
    title: str = ""
    anchor: str = ""
    """Where a link to these pictures leads; "" for pictures that nothing links to."""


@dataclass(frozen=True)
class Code:
    """Text kept as it is, folded under its title: a specification, a command line."""

    text: str
    title: str


Block = Heading | Text | Note | Findings | Opening | Table | Figure | Gallery | Glossary | Code


@dataclass(frozen=True)
class Page:
    """One of the report's pages."""

    name: str
    title: str
    lead: str
    blocks: tuple[Block, ...] = field(default_factory=tuple)
