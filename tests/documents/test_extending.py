"""docs/extending.md is followed, section by section, in a copy of the project: what it says is enough, and works."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.documents import runnable
from tests.documents.architecture import ROOT
from tests.documents.runnable import Block

SECTIONS = runnable.sections(ROOT / "docs/extending.md")
FIRST = "A sweep from Python"

# All examples share one copy, and the sweep in it is run once for all: minutes on a busy machine.
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project in which every section was followed."""
    folder = runnable.copy_project(tmp_path_factory.mktemp("copy"))
    for blocks in SECTIONS.values():
        runnable.follow(blocks, folder)
    return folder


@pytest.fixture(scope="module")
def printed(project: Path) -> Callable[[str], str]:
    """What the commands of a section print; each section is run once, after the sweep that the others look at."""
    outputs: dict[str, str] = {}

    def of(section: str) -> str:
        for title in dict.fromkeys((FIRST, section)):
            if title not in outputs:
                outputs[title] = runnable.run(SECTIONS[title], project)
        return outputs[section]

    return of


def test_a_sweep_from_python(printed: Callable[[str], str], project: Path) -> None:
    """It leaves all that a sweep from the command line leaves, the calibration included."""
    output = printed(FIRST)
    assert "model.latent_dim" in output
    assert {path.stem for path in (project / "runs/smoke").glob("*.parquet")} >= {"trials", "replicates", "calibration"}
    program = next(block.text for block in SECTIONS[FIRST] if "Sweep(" in block.text)
    assert len([line for line in program.splitlines() if line]) <= 6


def test_a_page_of_the_report(printed: Callable[[str], str], project: Path) -> None:
    assert "A replicate trains longest" in printed("A page of the report")
    assert "What does a larger latent space cost in time?" in (project / "reports/smoke/index.html").read_text()


# --- how documents are followed ---------------------------------------------------------------------------------------


def test_a_change_must_fit_its_file(tmp_path: Path) -> None:
    (tmp_path / "names.py").write_text("ONE = 1\nTWO = 2\nTWO = 2\n")
    runnable.follow([Block("diff", "--- names.py\n+++ names.py\n ONE = 1\n+HALF = 0.5\n")], tmp_path)
    assert (tmp_path / "names.py").read_text() == "ONE = 1\nHALF = 0.5\nTWO = 2\nTWO = 2\n"
    with pytest.raises(ValueError, match="must hold these lines once, got 2"):
        runnable.follow([Block("diff", "--- names.py\n+++ names.py\n TWO = 2\n+THREE = 3\n")], tmp_path)
    with pytest.raises(ValueError, match="must hold these lines once, got 0"):
        runnable.follow([Block("diff", "--- names.py\n+++ names.py\n-FOUR = 4\n")], tmp_path)


def test_a_new_file_must_be_new(tmp_path: Path) -> None:
    block = Block("python", "# folder/one.py\nONE = 1\n")
    runnable.follow([block], tmp_path)
    assert (tmp_path / "folder/one.py").read_text() == "ONE = 1\n"
    with pytest.raises(ValueError, match="is called new, and exists"):
        runnable.follow([block], tmp_path)


def test_a_command_that_fails_is_shown_with_what_it_printed(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="exit code 3:\nsaid before"):
        runnable.run([Block("python", "print('said before', flush=True)\nraise SystemExit(3)\n")], tmp_path)
    with pytest.raises(ValueError, match="is not a command that examples may use"):
        runnable.run([Block("bash", "rm -r runs\n")], tmp_path)
