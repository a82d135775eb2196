"""Every file of a sweep, truncated or altered: named, set aside, and the sweep is whole again after a resume."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from fake_trial import run_trial
from ray.tune.search import Searcher

from pipeline.trial import checkpoints
from sweeps.record.damage import set_aside_damaged
from sweeps.record.ledger import Ledger
from sweeps.record.tables import collect
from sweeps.running.suggester import Suggester
from sweeps.search.planner import Planner
from sweeps.specification.reading import parse
from sweeps.specification.spec import SweepSpec

SPEC = parse(
    {
        "name": "demo",
        "base": {"training": {"epochs": 3}, "replicates": 2},
        "factors": {"model.latent_dim": [2, 4]},
        "space": {"model.latent_dim": {"int": [2, 32], "log": True}},
        "search": {"trials": 4, "window": 2},
    }
)
TRIALS = 6


def go_on(folder: Path, spec: SweepSpec = SPEC, most: int = 100) -> list[int]:
    """What a resume does, without Ray; gives back the trials that were run."""
    planner, ledger = Planner(spec, folder), Ledger(folder, *spec.search.modes)
    suggester, ran = Suggester(planner, ledger, ledger.to_run_again(planner.plans)), []
    while len(ran) < most and isinstance(trial := suggester.suggest(""), dict):
        number = trial["number"]
        run_trial(trial["assignment"].config, ledger.trial_folder(number), report=lambda *_: None)
        ledger.conclude(number)
        ran.append(number)
    assert len(ran) == most or trial == Searcher.FINISHED
    collect(ledger, spec)
    return ran


def results(folder: Path) -> pd.DataFrame:
    table = pd.read_parquet(folder / "trials.parquet")
    return table.drop(columns=["started", "ended", *(column for column in table if column.startswith("seconds."))])


@pytest.fixture(scope="module")
def complete(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "demo"
    assert go_on(folder) == list(range(TRIALS))
    (folder / "sweep.json").write_text(json.dumps({"state": "finished", "started": "2026-01-01", "seconds": 3.0}))
    return folder


@pytest.fixture
def folder(complete: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(complete, tmp_path / "demo"))


def truncated(content: bytes) -> bytes:
    return content[: len(content) // 2]


def one_byte_changed(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 0x55]) + content[middle + 1 :]


def a_number_changed(content: bytes) -> bytes:
    """In the first pages of a table, before its description."""
    return content[:60] + bytes([content[60] ^ 0x55]) + content[61:]


def emptied(content: bytes) -> bytes:
    return b""


def a_line_lost(content: bytes) -> bytes:
    return b"".join(content.splitlines(keepends=True)[:-1])


@pytest.mark.parametrize(
    ("name", "damage", "again"),
    [
        ("trials/0003/trial.json", truncated, []),
        ("trials/0003/trial.json", emptied, []),
        ("trials/0003/result.json", truncated, [3]),
        ("trials/0003/result.json", one_byte_changed, [3]),
        ("trials/0003/history.jsonl", truncated, [3]),
        ("trials/0003/history.jsonl", one_byte_changed, [3]),
        ("trials/0003/history.jsonl", a_line_lost, [3]),
        ("trials/0003/history.jsonl", emptied, [3]),
        ("trials/0003/replicates.jsonl", one_byte_changed, [3]),
        ("sweep.json", truncated, []),
        ("trials.parquet", truncated, []),
        ("history.parquet", a_number_changed, []),
        ("history.parquet", emptied, []),
    ],
)
def test_a_damaged_file_is_named_and_set_aside_and_the_sweep_is_made_whole(
    complete: Path,
    folder: Path,
    caplog: pytest.LogCaptureFixture,
    name: str,
    damage: Callable[[bytes], bytes],
    again: list[int],
) -> None:
    path = folder / name
    content = damage(path.read_bytes())
    path.write_bytes(content)
    assert path in set_aside_damaged(folder)
    assert f"{path} is damaged" in caplog.text
    assert path.with_name(f"{path.name}.damaged").read_bytes() == content
    assert go_on(folder) == again
    pd.testing.assert_frame_equal(results(folder), results(complete), check_exact=True)
    history = [pd.read_parquet(run / "history.parquet") for run in (folder, complete)]
    pd.testing.assert_frame_equal(*history, check_exact=True)
    assert set_aside_damaged(folder) == []


@pytest.mark.parametrize("where", [0.0, 0.3, 0.6, 0.9])
@pytest.mark.parametrize("ran", [3, TRIALS])
def test_a_journal_damaged_in_the_middle_is_planned_anew_and_nothing_runs_twice(
    complete: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, where: float, ran: int
) -> None:
    folder = tmp_path / "demo"
    go_on(folder, most=ran)
    path = folder / "study.journal"
    content = bytearray(path.read_bytes())
    content[int(where * len(content))] = 0
    path.write_bytes(content)
    assert go_on(folder) == list(range(ran, TRIALS))
    assert f"{path} is damaged" in caplog.text
    assert path.with_name("study.journal.damaged").read_bytes() == bytes(content)
    pd.testing.assert_frame_equal(results(folder), results(complete), check_exact=True)


def test_files_of_an_unfinished_trial_are_looked_at_too(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    trial = folder / "trials" / "0006"
    checkpoints.save(trial / "checkpoints" / "training.pt", {"weights": torch.zeros(100)}, {})
    path = trial / "checkpoints" / "training.pt"
    path.write_bytes(one_byte_changed(path.read_bytes()))
    (trial / "checkpoints" / "measured_0.json").write_text('{"metrics": {')
    (trial / "config.yaml").write_text("model: {latent_dim: [")
    found = {path.name for path in set_aside_damaged(folder)}
    assert found == {"training.pt", "measured_0.json", "config.yaml"}
    assert "config.yaml is damaged" in caplog.text


def test_what_is_whole_stays_as_it_is(complete: Path) -> None:
    def state() -> dict[str, Any]:
        return {str(path): path.stat().st_mtime_ns for path in complete.rglob("*")}

    before = state()
    assert set_aside_damaged(complete) == []
    assert state() == before
