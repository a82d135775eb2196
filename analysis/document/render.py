"""Pages of blocks -> one HTML and one Markdown file, with figures and tables beside them."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape

from analysis import tables
from analysis.document.blocks import Heading, Note, Page
from analysis.document.glossary import linker
from analysis.document.items import Items

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Part:
    """A heading (None: what a page begins with) and what stands below it."""

    heading: dict[str, Any] | None
    items: list[dict[str, Any]]

    @property
    def folded(self) -> bool:
        """Closed until it is opened; what is missing or in doubt is never closed."""
        wanted = self.heading is not None and self.heading["block"].folded
        return wanted and not any(isinstance(item["block"], Note) for item in self.items)

    @property
    def sentence(self) -> str:
        """What a closed part says: the sentence of its first figure."""
        return next((item["block"].sentence for item in self.items if item["kind"] in ("Figure", "Repeated")), "")


def write_pages(
    sweep: tables.Sweep, pages: Iterable[Page], folder: Path, *, html: str = "index", markdown: str = "report"
) -> Path:
    """Write some pages as one HTML and one Markdown file, with their figures and tables beside them."""
    folder.mkdir(parents=True, exist_ok=True)
    items = Items(folder)
    rendered = [(page, items.anchors.new(page.name), _parts(page, items)) for page in pages]
    title = f"{sweep.name}" if len(rendered) > 1 else f"{sweep.name}: {rendered[0][0].title}"
    description = str((sweep.info.get("spec") or {}).get("description") or "")
    values = {"title": title, "description": description, "pages": rendered}
    css = Markup((TEMPLATES / "report.css").read_text(encoding="utf-8"))
    _replace(folder / f"{markdown}.md", _template("report.md", autoescape=False).render(values))
    defined = any(item["kind"] == "Glossary" for _, _, parts in rendered for part in parts for item in part.items)
    page = folder / f"{html}.html"
    linkers = [linker() if defined else escape for _ in rendered]
    _replace(page, _template("report.html", autoescape=True).render(values, css=css, linkers=linkers))
    return page


def _parts(page: Page, items: Items) -> list[Part]:
    """The blocks of a page by the heading that they stand below."""
    parts = [Part(None, [])]
    for block in page.blocks:
        item = items.item(block, page.name)
        if isinstance(block, Heading):
            parts.append(Part(item, []))
        else:
            parts[-1].items.append(item)
    return [part for part in parts if part.heading or part.items]


def _template(name: str, *, autoescape: bool) -> jinja2.Template:
    """A template with the filters that it needs; an unknown name in it is an error."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=autoescape, undefined=jinja2.StrictUndefined
    )
    environment.filters.update(plain=_markdown, indented=_indented, breakable=_breakable)
    return environment.get_template(name)


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
