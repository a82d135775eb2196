"""Tables from W&B's API: the client uploads a sweep to a loopback server, and the same tables come back."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from fake_trial import run_trial
from trial_folders import variance_rows, write_rows
from wandb_server import KEY, Request, WandbServer, serving

from analysis import tables
from pipeline.config import ConfigError
from sweeps.cli import main as cli
from sweeps.record import from_wandb
from sweeps.record.from_wandb import fetch, is_copy
from sweeps.record.ledger import Ledger
from sweeps.record.tables import LONG_TABLES, collect
from sweeps.search.plan import Plan
from sweeps.search.planner import Planner
from sweeps.specification.options import TrackingConfig
from sweeps.specification.reading import parse
from sweeps.tracking.sync import sync
from sweeps.tracking.trial_runs import TrialRuns, sweep_id

FAILS, RUNS_ON = 1, 3


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four trials, made without Ray: one fails, and one is still running when the runs are uploaded."""
    folder = tmp_path_factory.mktemp("original") / "demo"
    spec = parse(
        {
            "name": "demo",
            "factors": {"model.latent_dim": [2, 4, 8, 16]},
            "base": {"training": {"epochs": 3}, "replicates": 2},
            "tracking": {"project": "vae"},
        }
    )
    folder.mkdir()
    planner, ledger = Planner(spec, folder), Ledger(folder, "validation.elbo")
    runs = TrialRuns(folder, "demo", TrackingConfig(project="vae"))
    while isinstance(plan := planner.next(ledger.outcome), Plan):
        ledger.start(plan)
        runs.start(plan.number, spec.flat(plan.overrides), plan.phase)
        trial = ledger.trial_folder(plan.number)
        if plan.number == RUNS_ON:
            runs.log(plan.number, 1, {"validation.elbo": -3.0})
            break
        if plan.number == FAILS:
            (trial / "error.txt").write_text("RuntimeError: no luck\n")
        else:
            run_trial(spec.trial(plan.overrides), trial, report=lambda epoch, metrics: None)
            write_rows(trial / "variance.jsonl", variance_rows())
        runs.finish(plan.number, trial, ledger.conclude(plan.number).status)
    runs.close(120)
    collect(ledger, spec)
    return folder


@pytest.fixture(scope="module")
def uploaded(original: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WandbServer]:
    with serving() as running, pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("WANDB_")]:
            patch.delenv(name)
        patch.setenv("WANDB_BASE_URL", running.url)
        patch.setenv("WANDB_API_KEY", KEY)
        patch.setattr(from_wandb, "PAUSE", 0.05)
        assert sync(original).complete
        yield running


@pytest.fixture
def server(uploaded: WandbServer) -> Iterator[WandbServer]:
    yield uploaded
    uploaded.fault = None


def path_of(original: Path) -> str:
    return f"entity/vae/{sweep_id(original, 'demo')}"


def test_the_same_tables_come_back(
    original: Path, server: WandbServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(from_wandb, "PAGE", 2)
    fetched = fetch(path_of(original), tmp_path, "copy")
    assert (fetched.folder, fetched.trials, fetched.without_files) == (tmp_path / "copy", 4, [])
    assert len(server.operations("Runs")) == 2, "two pages of two runs"
    for name in LONG_TABLES:
        written = original / f"{name}.parquet"
        assert written.exists() == (fetched.folder / written.name).exists()
        if written.exists():
            mine = pd.read_parquet(fetched.folder / written.name)
            pd.testing.assert_frame_equal(mine, pd.read_parquet(written), check_exact=True)
    mine, theirs = (pd.read_parquet(folder / "trials.parquet") for folder in (fetched.folder, original))
    assert set(mine) == set(theirs)
    mine = mine[list(theirs)]
    pd.testing.assert_frame_equal(mine.drop(columns="started"), theirs.drop(columns="started"), check_exact=True)
    assert mine["status"].tolist() == ["finished", "failed", "finished", "running"]
    assert mine.loc[FAILS, "reason"] == "RuntimeError: no luck"
    assert mine["started"].tolist()[:RUNS_ON] == theirs["started"].tolist()[:RUNS_ON]
    info = json.loads((fetched.folder / "sweep.json").read_text())
    assert info["source"]["wandb"] == path_of(original)
    assert info["state"] == "running"
    assert is_copy(fetched.folder)
    assert len(tables.load(fetched.folder).trials) == 4, "analysis accepts them"


def test_the_report_is_written_from_the_copy(
    original: Path, server: WandbServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[tuple[Path, Path]] = []

    def write(folder: Path, target: Path, progress: object) -> Path:
        written.append((folder, target))
        return target / "index.html"

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("analysis.report.write", write)
    name = path_of(original).rpartition("/")[2]
    for arguments in (["--from-wandb", path_of(original)], [name]):
        monkeypatch.setattr(sys, "argv", ["elbosweep", "report", *arguments, "--runs-dir", str(tmp_path / "runs")])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        assert not stopped.value.code
    assert written == [(tmp_path / "runs" / name, Path("reports") / name)] * 2


def test_an_answer_that_fails_is_asked_for_again(original: Path, server: WandbServer, tmp_path: Path) -> None:
    faults = iter(["500", "cut"])
    server.fault = lambda request: next(faults, None) if request.method == "GET" else None
    assert fetch(path_of(original), tmp_path).trials == 4


def test_an_existing_folder_is_refused_and_left_as_it_is(original: Path, server: WandbServer, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    before = len(server.requests)
    with pytest.raises(ConfigError, match="mine: exists: give the copy another name"):
        fetch(path_of(original), tmp_path, "mine")
    assert len(server.requests) == before
    assert list((tmp_path / "mine").iterdir()) == []


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("entity/vae", "must be ENTITY/PROJECT/GROUP, got 'entity/vae'"),
        ("entity/vae/../x", "must be ENTITY/PROJECT/GROUP"),
        ("entity/vae/nobody", "entity/vae/nobody: holds no trials of elbosweep on http://127.0.0.1"),
        ("entity/elsewhere/demo", "entity/elsewhere/demo: "),
    ],
)
def test_what_is_not_there_is_one_line(server: WandbServer, tmp_path: Path, path: str, message: str) -> None:
    with pytest.raises(ConfigError, match=r"\A[^\n]*\Z") as raised:
        fetch(path, tmp_path)
    assert message in str(raised.value)
    assert list(tmp_path.iterdir()) == []


def test_without_a_key_nothing_is_asked(server: WandbServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_API_KEY")
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    before = len(server.requests)
    with pytest.raises(ConfigError, match="cannot be read: there is no W&B key for http") as raised:
        fetch("entity/vae/demo", tmp_path)
    assert KEY not in str(raised.value)
    assert len(server.requests) == before


@pytest.mark.slow
def test_a_server_that_keeps_failing_leaves_nothing_behind(original: Path, server: WandbServer, tmp_path: Path) -> None:
    def faulty(request: Request) -> str | None:
        return "500" if request.operation == "RunFiles" else None

    server.fault = faulty
    with pytest.raises(ConfigError, match=r"run demo-.*: cannot be read from http://127.0.0.1") as raised:
        fetch(path_of(original), tmp_path)
    assert KEY not in str(raised.value)
    assert list(tmp_path.iterdir()) == []
