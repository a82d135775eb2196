"""An attempt that hangs is ended; a worker that died is asked why."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sweeps.machine import watchdog

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
    assert stacks[0] == "Timeout (0:00:00.600000)!", "not before its time"
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
