"""What stops a sweep or a trial that is not its own fault: time, memory, a full disk, signals; what is left behind."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fake_trial
import pandas as pd
import pytest
import ray
import ray.cloudpickle
import sweep_program
from programs import Program
from rich.console import Console

from pipeline.files import read_json
from sweeps.cli import status
from sweeps.machine import scratch, watchdog
from sweeps.record.ledger import Ledger
from sweeps.running import sweep
from sweeps.running.ray_session import session
from sweeps.specification.options import Resources
from sweeps.specification.reading import parse

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore:.*:DeprecationWarning:ray"),
    pytest.mark.filterwarnings("ignore:.*:FutureWarning:ray"),
]


# --- temporary folders ----------------------------------------------------------------------------------------------


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_a_temporary_folder_carries_the_process_and_goes_with_it(temporary: Path) -> None:
    with scratch.folder() as folder:
        assert folder.name.startswith(f"elbosweep-{os.getpid()}-")
        with scratch.folder():
            assert folder.exists(), "that of a living process stays"
    assert list(temporary.iterdir()) == []


def test_at_home_everything_temporary_is_in_one_folder(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also what libraries make, and the programs that they start."""
    monkeypatch.delenv("TMPDIR", raising=False)
    with scratch.home():
        (home,) = temporary.iterdir()
        tempfile.mkdtemp(suffix="wandb-media")
        assert os.environ["TMPDIR"] == str(home)
        with scratch.folder() as inner:
            assert inner.parent == home
            assert len(inner.name) <= 8
    assert list(temporary.iterdir()) == []
    assert tempfile.gettempdir() == str(temporary)
    assert "TMPDIR" not in os.environ


def test_what_a_killed_process_left_behind_goes_at_the_next_start(temporary: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    (temporary / f"elbosweep-{dead.pid}-a" / "session").mkdir(parents=True)
    for kept in (f"elbosweep-{os.getppid()}-b", "elbosweep-sync-c", "elbosweep-x-d", f"other-{dead.pid}-e"):
        (temporary / kept).mkdir()
    scratch.remove_abandoned()
    assert len(list(temporary.iterdir())) == 4
    assert not (temporary / f"elbosweep-{dead.pid}-a").exists()


# --- time and memory ------------------------------------------------------------------------------------------------

HANGS = """
import re, sys
from pathlib import Path
from sweeps.machine.watchdog import time_limit
with time_limit(Path(sys.argv[1]), float(sys.argv[2])):
    pass
with time_limit(Path(sys.argv[1]), float(sys.argv[2])):
    re.match(r"(a+)+$", "a" * 64 + "b")
"""


def test_an_attempt_that_hangs_outside_python_is_ended_and_leaves_its_stacks(tmp_path: Path) -> None:
    ended = subprocess.run([sys.executable, "-c", HANGS, str(tmp_path), "0.01"], timeout=60)
    assert ended.returncode == 1
    *stacks, reason = watchdog.last_words(tmp_path).splitlines()
    assert reason == "exceeded its time limit of 0.01 min"
    assert any("in match" in line for line in stacks)


def test_a_worker_that_is_killed_within_its_time_did_not_exceed_it(tmp_path: Path) -> None:
    (tmp_path / watchdog.STACKS_FILE).write_text("exceeded its time limit of 5 min\n")
    assert watchdog.last_words(tmp_path) == ""


def test_the_death_of_a_worker_names_memory_where_that_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "error.pkl"
    file.write_text("ray.exceptions.OutOfMemoryError: Task was killed due to the node running low on memory.")
    assert watchdog.cause_of_death(str(file), 0).startswith("out of memory: Ray ended")
    monkeypatch.setattr(watchdog, "kernel_kills", lambda: 3)
    assert "the kernel killed a process" in watchdog.cause_of_death(None, 2)
    assert watchdog.cause_of_death(None, 3) == "its worker process died without a message"


@pytest.fixture(scope="module")
def one_ray() -> Iterator[None]:
    ray.cloudpickle.register_pickle_by_value(fake_trial)
    with session(Resources(workers=2)):
        yield
    ray.cloudpickle.unregister_pickle_by_value(fake_trial)


def tree(name: str, **parts: Any) -> dict[str, Any]:
    base = {"training": {"epochs": 3}, "replicates": 2}
    return {"name": name, "base": base, "retries": 1, "tracking": {"wandb": "disabled"}, **parts}


def setting(runs_dir: Path, misbehaviours: dict[str, Any] | None = None) -> sweep.Setting:
    trial = fake_trial.FakeTrial(misbehaviours or {})
    return sweep.Setting(runs_dir, workers=2, function=trial, console=Console(stderr=True))


@pytest.mark.usefixtures("one_ray")
def test_a_trial_that_hangs_or_runs_out_of_memory_is_tried_again_then_failed_with_its_log(tmp_path: Path) -> None:
    spec = parse(tree("bad", factors={"model.latent_dim": [2, 4, 8]}, limits={"trial_minutes": 0.02}))
    bad = {"hang": {"model.latent_dim": 4}, "out_of_memory": {"model.latent_dim": 8}}
    assert sweep.start(spec, setting(tmp_path, bad)) == 1
    records = Ledger(tmp_path / "bad", "validation.elbo").records.values()
    trials = {record.plan.overrides["model.latent_dim"]: record for record in records}
    assert [trials[key].status for key in (2, 4, 8)] == ["finished", "failed", "failed"]
    assert trials[4].reason == "exceeded its time limit of 0.02 min"
    assert trials[8].reason == "out of memory: MemoryError: cannot allocate 3 TB"
    for key, attempts in ((2, 1), (4, 2), (8, 2)):
        starts = tmp_path / "bad" / "trials" / f"{trials[key].plan.number:04d}" / "starts.jsonl"
        assert len(starts.read_text().splitlines()) == attempts
    shown = "\n".join(status.trial_lines("bad", trials[4].plan.number, tmp_path))
    assert "Timeout (0:00:01.200000)!" in shown
    assert "fake_trial.py" in shown


# --- a full disk ----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("one_ray")
def test_a_full_disk_stops_the_sweep_and_not_the_trial(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = parse(tree("full", factors={"model.latent_dim": [2, 4]}))
    bad = {"disk_full": {"model.latent_dim": 4}}
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "full").touch()
    (tmp_path / "full" / "spec.yaml").write_text(spec.written())
    assert sweep.resume("full", setting(tmp_path, bad)) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert "the disk is full: " in said
    assert "free some space, then: elbosweep resume full" in said
    assert read_json(tmp_path / "full" / "sweep.json")["state"] == "interrupted"
    assert Ledger(tmp_path / "full", "validation.elbo").records[1].status == "running"
    (tmp_path / "full" / "full").unlink()
    assert sweep.resume("full", setting(tmp_path, bad)) == 0
    assert (pd.read_parquet(tmp_path / "full" / "trials.parquet")["status"] == "finished").all()


@pytest.mark.usefixtures("one_ray")
def test_a_disk_that_is_full_for_the_driver(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spec, replace = parse(tree("quota", factors={"model.latent_dim": [2, 4, 8]})), os.replace

    def refuse(source: Any, target: Any) -> None:
        if str(target).endswith("0001/trial.json"):
            raise OSError(errno.EDQUOT, "Disk quota exceeded")
        replace(source, target)

    monkeypatch.setattr(os, "replace", refuse)
    assert sweep.start(spec, setting(tmp_path)) == 1
    assert "the disk is full: " in capsys.readouterr().err
    monkeypatch.undo()
    assert sweep.resume("quota", setting(tmp_path)) == 0
    assert pd.read_parquet(tmp_path / "quota" / "trials.parquet")["status"].tolist() == ["finished"] * 3


# --- signals, next to another sweep ---------------------------------------------------------------------------------


def driver(runs_dir: Path, name: str, seconds: float) -> Program:
    temporary = {"TMPDIR": str(runs_dir / "t")}
    specification = tree(name, factors={"model.latent_dim": [2, 4]})
    trial = fake_trial.FakeTrial(seconds=seconds)
    return sweep_program.start("run", runs_dir, specification, trial, workers=1, environment=temporary)


def test_twice_is_at_once_and_leaves_nothing_and_no_one_else_notices() -> None:
    """At once: the trial under way would take minutes more."""
    with tempfile.TemporaryDirectory(prefix="e") as short:  # Ray's sockets need a short path
        runs_dir = Path(short)
        (runs_dir / "t").mkdir()
        with driver(runs_dir, "hurried", 600.0) as hurried, driver(runs_dir, "calm", 0.1) as calm:
            hurried.wait_until(lambda: any(runs_dir.glob("hurried/trials/*/starts.jsonl")), "a first trial")
            hurried.process.send_signal(signal.SIGINT)
            time.sleep(0.6)
            hurried.process.send_signal(signal.SIGINT)
            assert hurried.end(seconds=30) == 130
            assert "interrupted; to go on: elbosweep resume hurried" in hurried.said()
            assert read_json(runs_dir / "hurried" / "sweep.json")["state"] == "interrupted"
            assert not list((runs_dir / "t").glob(f"elbosweep-{hurried.process.pid}-*"))
            assert calm.end() == 0, calm.said()
            assert [path.name for path in (runs_dir / "t").glob("elbosweep-*")] == []
