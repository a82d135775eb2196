"""Pages of blocks -> one HTML and one Markdown file, with figures and tables beside them."""

from __future__ import annotations

import base64
import os
import re
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup, escape

from analysis import tables
from analysis.document.blocks import Block, Figure, Gallery, Page, Table
from analysis.figures.saving import save
from analysis.wording import cell, count

TEMPLATES = Path(__file__).parent / "templates"


def write_pages(
    sweep: tables.Sweep, pages: Iterable[Page], folder: Path, *, html: str = "index", markdown: str = "report"
) -> Path:
    """Write some pages as one HTML and one Markdown file, with their figures and tables beside them."""
    folder.mkdir(parents=True, exist_ok=True)
    rendered = [(page, [_render(block, folder) for block in page.blocks]) for page in pages]
    title = f"{sweep.name}" if len(rendered) > 1 else f"{sweep.name}: {rendered[0][0].title}"
    description = str((sweep.info.get("spec") or {}).get("description") or "")
    values = {"title": title, "description": description, "pages": rendered}
    css = Markup((TEMPLATES / "report.css").read_text(encoding="utf-8"))
    _replace(folder / f"{markdown}.md", _template("report.md", autoescape=False).render(values))
    page = folder / f"{html}.html"
    _replace(page, _template("report.html", autoescape=True).render(values, css=css))
    return page


def _template(name: str, *, autoescape: bool) -> jinja2.Template:
    """A template with the filters that it needs; an unknown name in it is an error."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=autoescape, undefined=jinja2.StrictUndefined
    )
    environment.filters.update(plain=_markdown, indented=_indented, breakable=_breakable)
    return environment.get_template(name)


def _render(block: Block, folder: Path) -> dict[str, Any]:
    """What a template needs to show a block; writes the block's files."""
    item: dict[str, Any] = {"kind": type(block).__name__, "block": block}
    if isinstance(block, Table):
        item |= _write_table(block, folder / "tables")
    elif isinstance(block, Figure):
        item["panels"] = [
            (panel, Markup(save(panel.draw, folder / "figures" / panel.name, panel.size))) for panel in block.panels
        ]
    elif isinstance(block, Gallery):
        item["pictures"] = [
            (picture, base64.b64encode(picture.path.read_bytes()).decode("ascii")) for picture in block.pictures
        ]
    return item


def _write_table(table: Table, folder: Path) -> dict[str, Any]:
    """Write the whole frame as .csv and .parquet; what the template needs of its shown rows."""
    folder.mkdir(parents=True, exist_ok=True)
    table.frame.to_csv(folder / f"{table.name}.csv", index=False, lineterminator="\n")
    table.frame.to_parquet(folder / f"{table.name}.parquet", index=False)
    shown = (table.frame if table.shown is None else table.shown).head(table.rows)
    numeric = [pd.api.types.is_numeric_dtype(kind) and not pd.api.types.is_bool_dtype(kind) for kind in shown.dtypes]
    path, more = f"tables/{table.name}.csv", len(table.frame) > len(shown)
    return {
        "columns": list(zip(map(str, shown.columns), numeric)),
        "cells": [[cell(value) for value in row] for row in shown.itertuples(index=False, name=None)],
        "where": f"({count(len(shown), 'row')} shown; all {len(table.frame):,} in {path})" if more else f"({path})",
    }


def _markdown(text: object) -> str:
    """Plain text inside Markdown: one line, nothing that Markdown or HTML would read as its own."""
    return re.sub(r"([\\`*_\[\]<>|#&])", r"\\\1", " ".join(str(text).split()))


def _breakable(text: object) -> Markup:
    """A dotted name that may go on in the next line: a column is no wider than its numbers."""
    return Markup(re.sub(r"([._])", r"\1<wbr>", str(escape(text))))


def _indented(text: object) -> str:
    """A block of code in Markdown."""
    return "\n".join(f"    {line}" for line in str(text).splitlines())


def _replace(path: Path, text: str) -> None:
    """Write a file beside the old one, then rename it: a reader never sees half a page."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
        file.write(text)
    os.chmod(name, 0o644)
    os.replace(name, path)
