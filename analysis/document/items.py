"""One block -> what a template needs to show it; writes the block's figures and tables on the way."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd
from markupsafe import Markup

from analysis.document.anchors import Anchors
from analysis.document.blocks import Block, Figure, Gallery, Glossary, Heading, Link, Links, Opening, Table
from analysis.document.glossary import anchor
from analysis.figures.saving import save
from analysis.wording import cell, count

NARROW = 44
"""Characters of a row that a phone shows without scrolling."""


class Items:
    """The blocks of one document: its anchors, and the figures that it has drawn already."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.anchors = folder, Anchors()
        self._drawn: dict[str, str] = {}

    def item(self, block: Block, page: str) -> dict[str, Any]:
        """What a template needs to show a block of a page."""
        item: dict[str, Any] = {"kind": type(block).__name__, "block": block}
        if isinstance(block, Heading):
            item["anchor"] = self.anchors.new(f"{page} {block.text}")
        elif isinstance(block, Table):
            item |= {"anchor": self.anchors.new(f"table {block.name}"), **self._table(block)}
        elif isinstance(block, Figure):
            item |= self._figure(block)
        elif isinstance(block, Opening):
            item["figure"] = None if block.figure is None else self.item(block.figure, page)
        elif isinstance(block, Glossary):
            item["terms"] = [(self.anchors.new(anchor(term)), term) for term in block.terms]
        elif isinstance(block, Gallery):
            item["anchor"] = self.anchors.new(block.anchor) if block.anchor else ""
            item["pictures"] = [
                (picture, base64.b64encode(picture.path.read_bytes()).decode("ascii")) for picture in block.pictures
            ]
        return item

    def _figure(self, figure: Figure) -> dict[str, Any]:
        """The drawn panels; a figure that the document shows already is a link to it."""
        name = figure.panels[0].name
        if name in self._drawn:
            return {"kind": "Repeated", "anchor": self._drawn[name]}
        self._drawn[name] = self.anchors.new(f"figure {name}")
        panels = [
            (panel, Markup(save(panel.draw, self.folder / "figures" / panel.name, panel.size)))
            for panel in figure.panels
        ]
        return {"anchor": self._drawn[name], "panels": panels}

    def _table(self, table: Table) -> dict[str, Any]:
        """Write the whole frame as .csv and .parquet; what the template needs of its shown rows."""
        folder = self.folder / "tables"
        folder.mkdir(parents=True, exist_ok=True)
        table.frame.to_csv(folder / f"{table.name}.csv", index=False, lineterminator="\n")
        table.frame.to_parquet(folder / f"{table.name}.parquet", index=False)
        shown = (table.frame if table.shown is None else table.shown).head(table.rows)
        kinds = [pd.api.types.is_numeric_dtype(kind) and not pd.api.types.is_bool_dtype(kind) for kind in shown.dtypes]
        path, more = f"tables/{table.name}.csv", len(table.frame) > len(shown)
        cells = [[self._cell(value) for value in row] for row in shown.itertuples(index=False, name=None)]
        return {
            "columns": list(zip(map(str, shown.columns), kinds)),
            "cells": cells,
            "wide": _characters(shown, cells) > NARROW,
            "path": path,
            "where": f"({count(len(shown), 'row')} shown; all {len(table.frame):,} in {path})" if more else f"({path})",
        }

    def _cell(self, value: object) -> str | list[tuple[str, str]]:
        """A text, or links as pairs of text and target; a link whose file is missing is its text alone."""
        return [(link.text, self._target(link)) for link in value.items] if isinstance(value, Links) else cell(value)

    def _target(self, link: Link) -> str:
        """Relative to the report, so that a folder of runs and reports can be moved as a whole."""
        if link.path is None:
            return f"#{link.anchor}" if link.anchor else ""
        return quote(Path(os.path.relpath(link.path, self.folder)).as_posix()) if link.path.exists() else ""


def _characters(shown: pd.DataFrame, cells: list[list[Any]]) -> int:
    """How wide a table is in characters, about: the longest text of each column and the space between two."""
    texts = [[" ".join(text for text, _ in value) if isinstance(value, list) else value for value in row]
             for row in cells]  # fmt: skip
    heads = [max(len(word) for word in str(name).split(" ") or [""]) for name in shown.columns]
    return sum(2 + max([head, *(len(row[place]) for row in texts)]) for place, head in enumerate(heads))
