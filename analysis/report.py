"""A run folder -> `index.html`, `report.md`, `figures/`, `tables/`. The same tables give the same bytes.

`index.html` is one file: styles, vector figures and pictures are inside it, and a content security policy forbids it to
ask any network for anything. Everything that comes from a configuration passes through Jinja's escaping.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from analysis import tables
from analysis.document.blocks import Page
from analysis.document.render import write_pages
from analysis.pages import glossary
from analysis.pages.elbo_vs_dimension import page as elbo_vs_dimension
from analysis.pages.mc_variance import page as mc_variance
from analysis.pages.overview import page as overview
from analysis.pages.pictures import page as pictures
from analysis.pages.provenance import page as provenance
from analysis.pages.trials import page as trials

PAGES: dict[str, Callable[[tables.Sweep], Page]] = {
    "overview": overview.page,
    "elbo_vs_dimension": elbo_vs_dimension.page,
    "mc_variance": mc_variance.page,
    "pictures": pictures.page,
    "trials": trials.page,
    "provenance": provenance.page,
    "glossary": glossary.page,
}
"""The pages of the report by name, in its order."""


def write(run_folder: Path, report_folder: Path, progress: Callable[[str], None] | None = None) -> Path:
    """Write the whole report of a finished, running or interrupted sweep.

    Args:
        run_folder: What the sweep wrote.
        report_folder: Where the report goes.
        progress: Is told in one line what comes next: the tables, then page by page.

    Returns:
        The path of `index.html`.

    Raises:
        analysis.tables.TableError: a table is corrupt, newer than this version, or lacks a column.
    """
    say = progress or (lambda line: None)
    say("reading the tables")
    sweep = tables.load(Path(run_folder))
    for folder, suffixes in (("figures", (".png", ".svg", ".pdf")), ("tables", (".csv", ".parquet"))):
        for old in (Path(report_folder) / folder).glob("*"):
            if old.suffix in suffixes:  # of a figure that this sweep no longer has, or of an older version
                old.unlink()
    return write_pages(sweep, _pages(sweep, say), Path(report_folder))


def _pages(sweep: tables.Sweep, say: Callable[[str], None]) -> Iterator[Page]:
    """The pages one by one: each is announced and built when it is asked for, so it is drawn before the next."""
    for number, (name, build) in enumerate(PAGES.items(), start=1):
        say(f"page {number} of {len(PAGES)}: {name.replace('_', ' ')}")
        yield build(sweep)
