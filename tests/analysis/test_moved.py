"""Modules that have moved say where they went."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

import analysis


@pytest.mark.parametrize("name", analysis.MOVED)
def test_an_old_module_names_its_new_place(name: str) -> None:
    with pytest.raises(ModuleNotFoundError, match=f"^{name} has moved: ") as error:
        importlib.import_module(name)
    instruction = str(error.value).partition(" has moved: ")[2]
    if instruction.startswith("python -m analysis "):
        assert instruction.split()[3] in importlib.import_module("analysis.report").PAGES
    else:
        exec(instruction, {})


def test_a_name_from_the_package_names_its_new_place() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"from analysis\.statistics\.headline import headline"):
        exec("from analysis import headline", {})


def test_an_old_script_names_its_new_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "analysis.mc_variance", "runs/x"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode != 0
    assert "analysis.mc_variance has moved: python -m analysis mc_variance RUN [REPORT]" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_module_that_never_was_is_not_said_to_have_moved() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"No module named 'analysis\.never'"):
        importlib.import_module("analysis.never")
