"""The plan as it is printed: one line an estimator, its cheapest scheme, with intervals or the reason for none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import synthetic
from recorded_sweep import Command

from analysis import tables
from analysis.statistics import planning
from analysis.tables import Sweep
from sweeps.record import folders


@pytest.fixture
def planned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sweep:
    """A sweep with a variance study; the command reads its tables as they are."""
    data = tables.load(synthetic.write(tmp_path / "any", dims=(2, 8), epochs=2, replicates=4, pictures=False))
    monkeypatch.setattr(folders, "refresh", lambda name, runs_dir: (data.folder, None, []))
    return data


@pytest.mark.parametrize(("option", "scope"), [((), "this split"), (("--new-images",), "new images")])
def test_each_estimator_has_a_line_with_its_cheapest_scheme(
    elbosweep: Command, planned: Sweep, option: tuple[str, ...], scope: str
) -> None:
    code, out, _ = elbosweep("plan", "any", "--standard-error", "0.2", *option)
    table = planning.plan(planned, 0.2)
    table = table[table["scope"] == scope]
    lines = out.splitlines()
    keys = ["model.latent_dim", "quantity", "num_importance_samples"]
    assert code == 0
    assert len(lines) - 2 == len(table.drop_duplicates(keys))
    for (dim, quantity, k), rows in table[table["reachable"]].groupby(keys, dropna=False):
        best = rows.loc[rows["seconds"].idxmin()]
        name = quantity if k != k else f"{quantity} K={k:g}"
        line = next(line for line in lines if line.split()[:2] == [f"{dim:g}", quantity] and f"{name} " in line)
        assert f" {best['sampling']} " in line
        value, low, high = best[["replicates", "replicates_low", "replicates_high"]]
        assert (f" {value:.0f} [{low:.0f}, {high:.0f}] " if low < high else f" {value:.0f} ") in line
        assert f" {best['images']:.0f}" in line
    assert max(len(line) for line in lines) < 180


def test_what_cannot_be_known_says_so_in_its_line(
    elbosweep: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tables.load(synthetic.write(tmp_path / "any", dims=(2, 8), epochs=2, replicates=1, pictures=False))
    monkeypatch.setattr(folders, "refresh", lambda name, runs_dir: (data.folder, None, []))
    code, out, _ = elbosweep("plan", "any")
    assert code == 0
    assert all("cannot know from 1 seed a trial" in line for line in out.splitlines()[1:-1])
    assert "nan" not in out


def test_json_holds_every_estimator_scheme_and_statement(elbosweep: Command, planned: Sweep) -> None:
    code, out, _ = elbosweep("plan", "any", "--standard-error", "0.2", "--json")
    table = planning.plan(planned, 0.2)
    rows = json.loads(out)
    assert code == 0
    assert [set(row) for row in rows] == [set(table.columns)] * len(table)
    assert [row["replicates"] for row in rows] == [None if v != v else v for v in table["replicates"]]
