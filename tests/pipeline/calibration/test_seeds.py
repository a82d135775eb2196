"""The shipped calibration is that of this code: its rows are there, and a slice of it is computed again."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from pipeline.calibration import seeds, table
from pipeline.calibration.rows import BY_ULPS, exact_row, mean_row
from pipeline.probability.sampling import replicate_seed

REPEATED = {7: ["KL estimators", "sampling schemes", "latent space"], 19: ["ELBO", "evidence"]}
"""Seed -> sections that are computed again here; `make calibrate` computes all of them."""


@pytest.mark.parametrize("seed", REPEATED)
def test_a_slice_of_the_shipped_table_comes_out_again(seed: int) -> None:
    document = seeds.shipped()
    shipped = {(row["estimator"], row["quantity"]): row for row in document["rows"]}
    place = document["seeds"].index(seed)
    for number, (name, section) in enumerate(table.SECTIONS.items()):
        if name not in REPEATED[seed]:
            continue
        for row in section(torch.Generator().manual_seed(replicate_seed(seed, number, "calibration"))):
            kept = shipped[row["estimator"], row["quantity"]]
            assert kept["compared"] == row["compared"]
            if row["compared"] == BY_ULPS:  # another processor rounds otherwise
                assert abs(kept["scores"][place] - row["ulps"]) <= 8
            else:
                assert kept["scores"][place] == pytest.approx(row["z_score"], abs=1e-3)


def test_the_shipped_table_is_complete() -> None:
    document = seeds.shipped()
    assert document["seeds"] == list(seeds.SEEDS)
    assert all(len(row["scores"]) == len(seeds.SEEDS) for row in document["rows"])
    assert all(math.isfinite(score) for row in document["rows"] for score in row["scores"])
    assert seeds.SHIPPED.stat().st_size < 100_000


def test_the_long_form_has_a_row_for_each_seed() -> None:
    document, rows = seeds.shipped(), seeds.shipped_rows()
    assert len(rows) == len(document["rows"]) * len(document["seeds"])
    assert len({(row["seed"], row["estimator"], row["quantity"]) for row in rows}) == len(rows)
    assert all((row["ulps"] is None) == (row["z_score"] is not None) for row in rows)
    assert all((row["compared"] == BY_ULPS) == (row["ulps"] is not None) for row in rows)


def test_made_anew_the_table_says_what_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name, rounding = "old", 0.0

    def calibrate(seed: int) -> list[dict[str, object]]:
        draws = torch.tensor([1.0, 2.0, 4.0]) + seed
        return [mean_row("a", name, draws, 1.0), exact_row("c", "d", 1.0 + rounding, 1.0)]

    monkeypatch.setattr(seeds, "calibrate", calibrate)
    monkeypatch.setattr(seeds, "SHIPPED", tmp_path / "seeds.json")
    monkeypatch.setattr(torch, "set_num_threads", lambda number: None)
    seeds.main()
    name, rounding = "new", 5 * math.ulp(1.0)
    seeds.main()
    said = capsys.readouterr().out
    assert "in one of the two only: a, new" in said
    assert "in one of the two only: a, old" in said
    assert "largest difference to what was shipped 5" in said
    assert json.loads((tmp_path / "seeds.json").read_text(encoding="utf-8"))["rows"][0]["quantity"] == "new"
