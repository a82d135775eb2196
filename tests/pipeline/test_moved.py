"""An old import path says where its module went, in one line."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys

import pytest

from pipeline import MOVED


@pytest.mark.parametrize("old", MOVED)
def test_an_old_import_names_the_new_one(old: str) -> None:
    with pytest.raises(ModuleNotFoundError, match=re.escape(f"{old} has moved: from pipeline.")) as caught:
        importlib.import_module(old)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("old", MOVED)
def test_the_new_import_works(old: str) -> None:
    statement = MOVED[old].partition(" (")[0]
    match = re.fullmatch(r"from (\S+) import (\w+)", statement)
    assert match is not None
    module = importlib.import_module(match[1])
    assert hasattr(module, match[2]) or importlib.import_module(f"{match[1]}.{match[2]}")


@pytest.mark.parametrize("statement", ["from pipeline.trained import load_vae", "from pipeline import trained"])
def test_whichever_way_it_is_imported(statement: str) -> None:
    with pytest.raises(ImportError, match=r"pipeline\.trained has moved: from pipeline\.trial import load_vae"):
        exec(statement)


def test_what_a_module_gave_that_is_a_folder_now() -> None:
    with pytest.raises(ImportError, match=r"pipeline\.data\.load has moved: from pipeline\.data\.images import load"):
        exec("from pipeline.data import load")


def test_another_missing_module_is_missing_as_ever() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"No module named 'pipeline\.nowhere'"):
        importlib.import_module("pipeline.nowhere")


def test_importing_pipeline_imports_nothing_else() -> None:
    code = "import sys; before = set(sys.modules); import pipeline; print(*sorted(set(sys.modules) - before))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not [name for name in loaded if not name.startswith(("pipeline", "collections"))]
