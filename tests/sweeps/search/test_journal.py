"""The journal of a study: read without Optuna as Optuna reads it, and made whole after a crash."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import optuna
import pytest
from child_environment import child_environment
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from simulated_search import simulate, specification

from pipeline.config import ConfigError
from sweeps.search.journal import asked, repair
from sweeps.search.planner import Planner


def storage(path: Path) -> JournalStorage:
    return JournalStorage(JournalFileBackend(str(path)))


def as_optuna_reads(path: Path, name: str) -> set[int] | None:
    try:
        return {trial.number for trial in optuna.load_study(study_name=name, storage=storage(path)).trials}
    except KeyError:
        return None


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Two studies whose trials were created in turns, one of them deleted and made anew, and one without trials."""
    path = tmp_path / "study.journal"
    first = optuna.create_study(study_name="first", storage=storage(path))
    second = optuna.create_study(study_name="second", storage=storage(path))
    for study in (first, second, first, first, second):
        study.ask({"x": optuna.distributions.FloatDistribution(0, 1)})
    optuna.delete_study(study_name="second", storage=storage(path))
    optuna.create_study(study_name="second", storage=storage(path)).ask()
    optuna.create_study(study_name="empty", storage=storage(path))
    return path


@pytest.mark.parametrize("name", ["first", "second", "empty", "unknown"])
def test_trials_are_those_that_optuna_reads(path: Path, name: str) -> None:
    assert asked(path, name) == as_optuna_reads(path, name)


def test_a_study_that_is_created_again_under_its_name_stays_one(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content + content.splitlines(keepends=True)[0])
    assert asked(path, "first") == as_optuna_reads(path, "first") == {0, 1, 2}


@pytest.mark.parametrize("cut", [1, 40, 100])
def test_a_torn_last_line_is_left_out_as_optuna_leaves_it_out(path: Path, cut: int) -> None:
    path.write_bytes(path.read_bytes()[:-cut])
    for name in ("first", "second", "empty"):
        assert asked(path, name) == as_optuna_reads(path, name)


def test_damage_in_the_middle_is_named(path: Path) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], b"nonsense\n", *lines[3:]]))
    with pytest.raises(ConfigError, match=r"study.journal: line 3 is damaged"):
        asked(path, "first")


def test_without_a_journal_there_is_no_study(tmp_path: Path) -> None:
    assert asked(tmp_path / "study.journal", "first") is None


def test_reading_loads_no_optuna() -> None:
    code = "import sys, sweeps.search.journal; sys.exit('optuna' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], env=child_environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("cut", [1, 40, 200])
def test_a_torn_journal_is_cut_back_to_what_is_whole(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "study.journal"
    spec = specification(sampler="random", trials=3)
    before = simulate(spec, tmp_path, workers=1)
    content = path.read_bytes()
    path.write_bytes(content[:-cut])
    assert repair(path) > 0
    assert path.with_name("study.journal.torn").read_bytes() == content[:-cut]
    assert repair(path) == 0
    plans = Planner(spec, tmp_path).plans
    assert plans == before[: len(plans)]
