"""A program that fails in a test is heard: what it said is in the failure."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import ray_cluster
from programs import Program, ProgramError

COMPLAINS = "import sys; print('on its way'); sys.exit('no such folder')"


def python(code: str) -> Program:
    return Program([sys.executable, "-c", code])


def test_a_program_that_ends_too_early_is_quoted() -> None:
    with (
        python(COMPLAINS) as program,
        pytest.raises(ProgramError, match=r"(?s)ended before its answer; .* ended with code 1 .*no such folder"),
    ):
        program.wait_until(lambda: False, "its answer")


def test_a_program_that_does_not_get_on_is_quoted() -> None:
    with python("import time; print('waiting', flush=True); time.sleep(60)") as program:
        program.wait_until(lambda: "waiting" in program.said(), "its first word")
        with pytest.raises(ProgramError, match=r"(?s)0\.1 s without its answer; .* still runs and said:\nwaiting"):
            program.wait_until(lambda: False, "its answer", seconds=0.1)
        with pytest.raises(ProgramError, match="did not end within 0 s and was killed"):
            program.end(seconds=0)
    assert program.process.returncode == -9


def test_a_cluster_that_does_not_start_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "__init__.py").write_text("raise OSError('this Ray is broken')")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    with (
        pytest.raises(ProgramError, match=r"(?s)the cluster gave no address; .*this Ray is broken"),
        ray_cluster.running(nodes=1),
    ):
        pass
