"""The written report: complete, self-contained, escaped, with every figure and table beside it."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest
from html_reader import Reader, read
from synthetic_truth import HOSTILE

from analysis import tables
from analysis.document.blocks import Figure, Gallery, Page
from analysis.document.render import write_pages


@pytest.fixture(scope="module")
def written(run: Path, pages: list[Page], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `report.write` writes, from pages that the other tests share."""
    return write_pages(tables.load(run), pages, tmp_path_factory.mktemp("reports") / "hostile").parent


@pytest.fixture(scope="module")
def html(written: Path) -> Reader:
    return read((written / "index.html").read_text(encoding="utf-8"))


def test_five_pages_reached_without_javascript(html: Reader) -> None:
    sections = html.all("section", "id")
    assert sections == ["overview", "elbo-vs-dimension", "mc-variance", "pictures", "provenance"]
    assert html.all("a", "href") == [f"#{name}" for name in sections]
    assert "script" not in {tag for tag, _ in html.tags}


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
