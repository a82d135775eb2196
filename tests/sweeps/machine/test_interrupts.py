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
import yaml
from fake_trial import SWEEP
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
from sweeps.watchdog import time_limit
with time_limit(Path(sys.argv[1]), float(sys.argv[2])):
    pass
with time_limit(Path(sys.argv[1]), float(sys.argv[2])):
    re.match(r"(a+)+$", "a" * 64 + "b")
"""


def test_an_attempt_that_hangs_outside_python_is_ended_and_leaves_its_stacks(tmp_path: Path) -> None:
    began = time.monotonic()
    ended = subprocess.run([sys.executable, "-c", HANGS, str(tmp_path), "0.01"], timeout=60)
    assert ended.returncode == 1
    assert time.monotonic() - began > 0.6
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


def setting(runs_dir: Path) -> sweep.Setting:
    return sweep.Setting(runs_dir, workers=2, function=fake_trial.run_trial, console=Console(stderr=True))


@pytest.mark.usefixtures("one_ray")
def test_a_trial_that_hangs_or_runs_out_of_memory_is_tried_again_then_failed_with_its_log(tmp_path: Path) -> None:
    spec = parse(tree("bad", factors={"objective.free_bits": [0.0, 4.0, 5.0]}, limits={"trial_minutes": 0.02}))
    assert sweep.start(spec, setting(tmp_path)) == 1
    records = Ledger(tmp_path / "bad", "validation.elbo").records.values()
    trials = {record.plan.overrides["objective.free_bits"]: record for record in records}
    assert [trials[key].status for key in (0.0, 4.0, 5.0)] == ["finished", "failed", "failed"]
    assert trials[4.0].reason == "exceeded its time limit of 0.02 min"
    assert trials[5.0].reason == "out of memory: MemoryError: cannot allocate 3 TB"
    for key, attempts in ((0.0, 1), (4.0, 2), (5.0, 2)):
        starts = tmp_path / "bad" / "trials" / f"{trials[key].plan.number:04d}" / "starts.jsonl"
        assert len(starts.read_text().splitlines()) == attempts
    shown = "\n".join(status.trial_lines("bad", trials[4.0].plan.number, tmp_path))
    assert "Timeout (0:00:01.200000)!" in shown
    assert "in run_trial" in shown


# --- a full disk ----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("one_ray")
def test_a_full_disk_stops_the_sweep_and_not_the_trial(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = parse(tree("full", factors={"objective.free_bits": [0.0, 6.0]}))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "full").touch()
    (tmp_path / "full" / "spec.yaml").write_text(spec.written())
    assert sweep.resume("full", setting(tmp_path)) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert "the disk is full: " in said
    assert "free some space, then: elbosweep resume full" in said
    assert read_json(tmp_path / "full" / "sweep.json")["state"] == "interrupted"
    assert Ledger(tmp_path / "full", "validation.elbo").records[1].status == "running"
    (tmp_path / "full" / "full").unlink()
    assert sweep.resume("full", setting(tmp_path)) == 0
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

    monkeypatch.setattr("pipeline.trial.checkpoints.os.replace", refuse)
    assert sweep.start(spec, setting(tmp_path)) == 1
    assert "the disk is full: " in capsys.readouterr().err
    monkeypatch.undo()
    assert sweep.resume("quota", setting(tmp_path)) == 0
    assert pd.read_parquet(tmp_path / "quota" / "trials.parquet")["status"].tolist() == ["finished"] * 3


# --- signals, next to another sweep ---------------------------------------------------------------------------------


def driver(runs_dir: Path, name: str, seconds: float) -> subprocess.Popen[str]:
    path = runs_dir / f"{name}.yaml"
    base = {"training": {"epochs": 3, "gradient_clip": seconds}, "replicates": 2}
    path.write_text(yaml.safe_dump(tree(name, base=base, factors={"model.latent_dim": [2, 4]})))
    script = [
        sys.executable,
        str(SWEEP),
        "run",
        str(runs_dir),
        str(path),
        "1",
    ]
    environ = {**os.environ, "TMPDIR": str(runs_dir / "t")}
    return subprocess.Popen(script, stderr=subprocess.PIPE, text=True, start_new_session=True, env=environ)


def test_twice_is_at_once_and_leaves_nothing_and_no_one_else_notices() -> None:
    with tempfile.TemporaryDirectory(prefix="e") as short:  # Ray's sockets need a short path
        runs_dir = Path(short)
        (runs_dir / "t").mkdir()
        hurried, calm = driver(runs_dir, "hurried", 60.0), driver(runs_dir, "calm", 0.1)
        until = time.monotonic() + 100
        while not list(runs_dir.glob("hurried/trials/*/starts.jsonl")):
            assert time.monotonic() < until
            time.sleep(0.1)
        hurried.send_signal(signal.SIGINT)
        time.sleep(0.6)
        began = time.monotonic()
        hurried.send_signal(signal.SIGINT)
        said = hurried.communicate(timeout=30)[1]
        assert time.monotonic() - began < 2
        assert hurried.returncode == 130
        assert "interrupted; to go on: elbosweep resume hurried" in said
        assert read_json(runs_dir / "hurried" / "sweep.json")["state"] == "interrupted"
        assert not list((runs_dir / "t").glob(f"elbosweep-{hurried.pid}-*"))
        said = calm.communicate(timeout=120)[1]
        assert calm.returncode == 0, said
        assert [path.name for path in (runs_dir / "t").glob("elbosweep-*")] == []
