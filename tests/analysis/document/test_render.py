"""The written report: complete, self-contained, escaped, with every figure and table beside it."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

import pandas as pd
import pytest
from html_reader import Reader, read
from synthetic_truth import HOSTILE

from analysis import tables
from analysis.document import render
from analysis.document.blocks import Figure, Gallery, Page
from analysis.document.glossary import TERMS, anchor
from analysis.document.render import write_pages


@pytest.fixture(scope="module")
def written(run: Path, pages: list[Page], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `report.write` writes, from pages that the other tests share."""
    return write_pages(tables.load(run), pages, tmp_path_factory.mktemp("reports") / "hostile").parent


@pytest.fixture(scope="module")
def html(written: Path) -> Reader:
    return read((written / "index.html").read_text(encoding="utf-8"))


def test_every_page_is_reached_without_javascript(html: Reader) -> None:
    sections = html.all("section", "id")
    assert sections == ["overview", "elbo-vs-dimension", "mc-variance", "pictures", "trials", "provenance", "glossary"]
    assert {f"#{name}" for name in sections} <= set(html.all("a", "href"))
    assert "script" not in {tag for tag, _ in html.tags}


def test_no_two_anchors_are_alike_and_every_link_inside_leads_to_one(html: Reader) -> None:
    anchors = [str(attributes["id"]) for _, attributes in html.tags if "id" in attributes]
    assert len(anchors) == len(set(anchors))
    inside = [target[1:] for target in html.all("a", "href") if target.startswith("#")]
    assert set(inside) <= set(anchors)
    shapes = [target[1:] for target in html.all("use", "href")]
    assert shapes
    assert set(shapes) <= set(anchors)


def test_every_heading_and_figure_has_an_anchor_and_every_heading_is_in_both_indexes(html: Reader) -> None:
    headings = html.all("h3", "id")
    assert len(headings) == sum(tag == "h3" for tag, _ in html.tags) > 15
    links = html.all("a", "href")
    assert all(links.count(f"#{anchor}") >= 3 for anchor in headings)  # at its side, on a phone, beside itself
    drawn = [attributes for tag, attributes in html.tags if tag == "figure"]
    panels = [attributes for tag, attributes in html.tags if tag == "div" and attributes.get("role") == "img"]
    assert len(panels) > 20
    assert sum("id" in attributes for attributes in drawn) >= 10


def test_a_figure_is_drawn_once_and_linked_where_it_belongs_as_well(written: Path, html: Reader) -> None:
    text = (written / "index.html").read_text(encoding="utf-8")
    assert html.all("figure", "id").count("figure-elbo-vs-dimension") == 1
    assert 'Its figure is <a href="#figure-elbo-vs-dimension">' in text


def test_every_trial_is_listed_and_its_number_leads_to_its_folder(written: Path, run: Path, html: Reader) -> None:
    trials = tables.load(run).trials
    listed = pd.read_parquet(written / "tables" / "trials.parquet")
    assert list(listed["trial"]) == list(trials["trial"])
    assert set(listed["status"]) == {"finished", "stopped", "failed", "running"}
    files = {target for target in html.all("a", "href") if not target.startswith("#")}
    assert all((written / unquote(target)).exists() for target in files)
    drawn = {f"{number:04d}" for number in trials["trial"] if (run / "trials" / f"{number:04d}").is_dir()}
    assert drawn == {Path(unquote(target)).name for target in files} - {"pictures", "training_curves.png"}


def test_terms_lead_to_their_definition(html: Reader) -> None:
    terms = [attributes for tag, attributes in html.tags if tag == "a" and attributes.get("class") == "term"]
    assert {"#term-elbo", "#term-d", "#term-seed"} <= {attributes["href"] for attributes in terms}
    assert set(html.all("dt", "id")) == {anchor(term) for term in TERMS}


def test_what_is_folded_is_printed() -> None:
    css = (Path(render.__file__).parent / "templates" / "report.css").read_text(encoding="utf-8")
    printed = css[css.index("@media print") :]
    assert re.search(r"::details-content \{[^}]*content-visibility: visible", printed)
    assert re.search(r"nav\.side[^{]*\{ display: none; \}", printed)
    assert re.search(r"\.scroll \{[^}]*max-height: none", printed)


def test_nothing_is_asked_of_a_network(written: Path, html: Reader) -> None:
    text = (written / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"https?:|//[a-z]|@import|\bftp:", re.sub(r"base64,[A-Za-z0-9+/=]+", "", text))
    assert all(
        source.startswith("data:image/png;base64,") for tag in ("img", "image") for source in html.all(tag, "src")
    )
    assert {attribute for _, attributes in html.tags for attribute in attributes if attribute.startswith("on")} == set()
    assert {tag for tag, _ in html.tags} & {"link", "iframe", "object", "embed", "form", "base"} == set()
    assert all(re.fullmatch(r"#[\w-]+", target) for target in re.findall(r"url\(([^)]*)\)", text))


def test_configuration_is_escaped(written: Path, html: Reader) -> None:
    text = (written / "index.html").read_text(encoding="utf-8")
    assert "<script" not in text
    assert "&lt;script&gt;alert" in text
    shown = " ".join(" ".join(html.text).split())
    assert " ".join(HOSTILE.split()) in shown  # whole, and {{ 7*7 }} is not 49


def test_markdown_is_escaped_and_its_tables_are_whole(written: Path) -> None:
    text = (written / "report.md").read_text(encoding="utf-8")
    assert "<script" not in re.sub(r"(?m)^    .*$", "", text).replace("\\<", "")
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) > 50
    for block in re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE):
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
        assert len(widths) == 1, block[:200]
    for picture in re.findall(r"\]\((figures/[^)]+)\)", text):
        assert (written / picture).is_file()


def test_every_figure_and_table_is_a_file_in_every_format(written: Path) -> None:
    for folder, suffixes in (("figures", {".png", ".svg", ".pdf"}), ("tables", {".csv", ".parquet"})):
        written_as: dict[str, set[str]] = {}
        for path in (written / folder).iterdir():
            written_as.setdefault(path.name.partition(".")[0], set()).add(path.suffix)
        assert len(written_as) > 10
        assert set(map(frozenset, written_as.values())) == {frozenset(suffixes)}
    for path in (written / "tables").glob("*.parquet"):
        assert len(pd.read_csv(path.with_suffix(".csv"))) == len(pd.read_parquet(path))


def test_every_way_a_trial_ended_is_shown_with_its_reason(written: Path) -> None:
    table = pd.read_parquet(written / "tables" / "outcomes.parquet").set_index("outcome")
    assert table["n"].to_dict() == {"finished": 2, "suspect": 2, "stopped": 1, "failed": 1, "running": 1}
    assert table.loc["failed", "reason"] == HOSTILE
    assert HOSTILE in table.loc["suspect", "reason"]


def test_every_figure_is_followed_by_its_sentence_and_says_n(pages: list[Page]) -> None:
    for page in pages:
        for block in page.blocks:
            if isinstance(block, Figure):
                assert block.sentence.endswith(".")
                assert not re.search(r"\bnan\b|\binf\b|None", block.sentence)
                assert re.search(r"n = [\d,]+|no other beats|Shares of", block.caption), block.caption


def test_pictures_are_embedded(html: Reader, pages: list[Page]) -> None:
    assert len(html.all("img", "src")) >= 5
    captions = [block.title for page in pages for block in page.blocks if isinstance(block, Gallery)]
    assert any(caption.startswith("D = 2") for caption in captions)
    assert any(caption.startswith("D = 8") for caption in captions)
