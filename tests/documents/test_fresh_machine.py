"""`.ci/fresh` runs a command as on a machine where nothing ever ran, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PROBE = """
import json, os, pathlib, sys
home, temporary = pathlib.Path.home(), pathlib.Path(os.environ["TMPDIR"])
print(json.dumps({
    "folder": os.getcwd(), "variables": dict(os.environ), "input": sys.stdin.read(), "home": os.listdir(home),
    "temporary": os.listdir(temporary), "tmp": os.listdir("/tmp"), "mounted": "/tmp" in [
        line.split()[4] for line in open("/proc/self/mountinfo")],
    "pip": pathlib.Path(os.environ.get("PIP_CONFIG_FILE", os.devnull)).read_text(),
}))
(home / "left").touch(); (temporary / "left").touch()
sys.exit(7)
"""


def probe(clone: Path, **variables: str) -> dict[str, Any]:
    """What a program sees inside; its exit code comes through."""
    command = [str(clone / ".ci" / "fresh"), sys.executable, "-c", PROBE]
    environment = {**os.environ, **variables}
    ended = subprocess.run(command, env=environment, input="asked", capture_output=True, text=True)
    assert ended.returncode == 7, ended.stderr
    return dict(json.loads(ended.stdout))


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The variables of a user who has worked on this machine."""
    monkeypatch.delenv("PIP_CONFIG_FILE", raising=False)
    settings = tmp_path / "home" / ".config" / "pip"
    settings.mkdir(parents=True)
    (settings / "pip.conf").write_text("[global]\nindex-url = https://mirror.example/simple\n")
    (tmp_path / "home" / ".netrc").touch()
    folders = {"HOME": str(tmp_path / "home"), "XDG_CACHE_HOME": str(tmp_path), "RAY_TMPDIR": str(tmp_path)}
    keys = {"WANDB_API_KEY": "k", "AWS_PROFILE": "p", "RAY_ADDRESS": "auto", "PYTHONPATH": str(tmp_path)}
    return {**folders, **keys, "PYTHON": sys.executable}


def test_nothing_of_the_user_is_seen_but_how_pip_finds_its_index(user: dict[str, str]) -> None:
    seen = probe(ROOT, **user, ELBOSWEEP_DATA="/data")
    assert seen["folder"] == str(ROOT)
    assert (seen["home"], seen["temporary"], seen["input"]) == ([], [], "")
    variables = seen["variables"]
    assert variables.keys() & user.keys() == {"HOME", "PYTHON"}
    assert variables["HOME"] != user["HOME"]
    assert variables["CI"] == "true"
    assert variables["ELBOSWEEP_DATA"] == "/data"
    assert "mirror.example" in seen["pip"]
    assert len(variables["TMPDIR"]) <= 40, "Ray's sockets lie below it"


def test_nothing_is_left_behind(user: dict[str, str]) -> None:
    variables = probe(ROOT, **user)["variables"]
    assert not Path(variables["HOME"]).parent.exists()
    assert not Path(variables["TMPDIR"]).exists()


def test_a_clone_below_tmp_stays_where_it_is(user: dict[str, str]) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        shutil.copytree(ROOT / ".ci", Path(folder, "clone", ".ci"))
        seen = probe(Path(folder, "clone"), **user)
        assert seen["folder"] == str(Path(folder, "clone").resolve())
        if seen["mounted"]:
            assert set(seen["tmp"]) <= {Path(folder).name, *Path(seen["variables"]["HOME"]).parts}
