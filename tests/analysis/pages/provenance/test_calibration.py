"""The calibration's sentence names what is off, by the limit that the command has too."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from report_pages import draw, sweep

from analysis import statistics
from analysis.document.blocks import Figure, Page, Table
from analysis.pages.provenance.page import page as page_of
from analysis.tables.schema import calibration_limit


def figure(page: Page, name: str) -> Figure:
    return next(block for block in page.blocks if isinstance(block, Figure) and block.panels[0].name == name)


def test_calibration_that_fails_is_named(tmp_path: Path) -> None:
    data = sweep(tmp_path)
    off = data.calibration.assign(z_score=[9.5] + [0.1] * (len(data.calibration) - 1))
    sentence = figure(page_of(replace(data, calibration=off)), "calibration").sentence
    assert "1 estimate of" in sentence
    assert "+9.5" in sentence


def test_what_is_deterministic_fails_by_rounding(tmp_path: Path) -> None:
    data = sweep(tmp_path)
    ulps = data.calibration["ulps"].where(data.calibration["ulps"].isna(), 1e6)
    sentence = figure(page_of(replace(data, calibration=data.calibration.assign(ulps=ulps))), "calibration").sentence
    assert "exact, kl (1e+06 ulp)" in sentence


@pytest.mark.parametrize(("beyond", "words"), [(-0.1, "agree with their exact values within"), (0.1, "1 estimate of")])
def test_the_limit_is_the_schemas(tmp_path: Path, beyond: float, words: str) -> None:
    data = sweep(tmp_path)
    z = [calibration_limit() + beyond] + [0.1] * (len(data.calibration) - 1)
    block = figure(page_of(replace(data, calibration=data.calibration.assign(z_score=z))), "calibration")
    assert words in block.sentence
    assert f"the band is ±{calibration_limit():g}" in block.caption


def test_the_joint_tests_and_five_rows_come_first(tmp_path: Path) -> None:
    data = sweep(tmp_path)
    page = page_of(data)
    blocks = [block for block in page.blocks if isinstance(block, (Figure, Table))]
    assert blocks[0] is figure(page, "calibration_quantiles")
    assert "Over 20 seeds, no estimate is off on average: the farthest of 15 is" in blocks[0].sentence
    row = statistics.calibration_tests(data.calibration_seeds).iloc[0]
    assert f"p = {row['p_ks']:.2f}" in blocks[0].caption
    assert f"found with probability {row['power']:.2f}" in blocks[0].caption
    worst = blocks[1]
    assert isinstance(worst, Table)
    assert len(worst.shown) == 5
    draw(replace(page, blocks=(blocks[0],)))


def test_a_row_that_is_off_over_the_seeds_is_named(tmp_path: Path) -> None:
    data = sweep(tmp_path)
    seeds = data.calibration_seeds
    biased = seeds.assign(z_score=seeds["z_score"] + 2.0 * (seeds["estimator"] == "ais") * (seeds["quantity"] == "kl"))
    said = figure(page_of(replace(data, calibration_seeds=biased)), "calibration_quantiles").sentence
    assert said.startswith("Over 20 seeds, ais, kl is off")


def test_without_the_seeds_the_quick_one_stands_alone(tmp_path: Path) -> None:
    data = sweep(tmp_path)
    page = page_of(replace(data, calibration_seeds=data.calibration_seeds.head(0)))
    assert [block.panels[0].name for block in page.blocks if isinstance(block, Figure)] == ["calibration"]
